use coracle_test_agreement::random::*;
fn bad(lines: &[String], seed: u64) -> bool {
    let text = lines.join("\n");
    let Ok(m) = wat::parse_str(&text) else { return false };
    if wasmparser::Validator::new_with_features(coracle_prepare::FEATURES).validate_all(&m).is_err() {
        return false;
    }
    std::panic::catch_unwind(|| {
        let mut r = Report::default();
        for s in 0..3 {
            compare(&m, seed + s, &mut r);
        }
    })
    .is_err()
}
fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let path = std::env::args().nth(1).unwrap();
    let seed: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let mut lines: Vec<String> = std::fs::read_to_string(&path).unwrap().lines().map(|l| l.to_string()).collect();
    if !bad(&lines, seed) {
        println!("not bad");
        return;
    }
    let subs = [
        "drop",
        "i32.const 0",
        "i64.const 0",
        "f32.const 0",
        "f64.const 0",
        "unreachable",
        "local.get 0",
        "local.get 1",
    ];
    loop {
        let before = lines.join("\n");
        let mut size = (lines.len() / 2).min(100);
        while size >= 1 {
            let mut at = 0;
            while at + size <= lines.len() {
                let mut found = false;
                let mut c = lines.clone();
                c.drain(at..at + size);
                if bad(&c, seed) {
                    lines = c;
                    found = true;
                }
                if !found && size <= 12 {
                    for s in subs {
                        let mut c = lines.clone();
                        if size == 1 && (c[at].trim() == s || subs.contains(&c[at].trim())) {
                            break;
                        }
                        c.splice(at..at + size, [s.to_string()]);
                        if bad(&c, seed) {
                            lines = c;
                            found = true;
                            break;
                        }
                    }
                }
                if !found {
                    at += 1;
                }
            }
            size = if size > 12 { size / 2 } else { size - 1 };
        }
        if lines.join("\n") == before {
            break;
        }
    }
    println!("{}", lines.join("\n"));
}

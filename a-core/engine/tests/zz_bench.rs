mod common;
use common::*;
use coracle_container::*;
use coracle_engine::*;
use coracle_guest_abi::EventKind;
use std::time::Instant;
fn rss() -> usize {
    let s = std::fs::read_to_string("/proc/self/statm").unwrap();
    s.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
}
#[test]
fn bench() {
    for (name, engine) in ["native", "pulley"].iter().zip(engines()) {
        let t = Instant::now();
        let e = EngineHandle::with_backend(Backend::Native).unwrap();
        println!("engine {:?}", t.elapsed());
        drop(e);
        let text = r#"(module (import "coracle:time@1" "now" (func $now (result i64))) (import "coracle:time@1" "sleep" (func $sleep (param i64) (result i32))) (memory (export "memory") 1)
          (func (export "on_event") (param i32 i32 i32) (result i32) (local $i i32)
           (if (i32.eq (local.get 0) (i32.const 2)) (then (loop $l (drop (call $now)) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 10000))))))
           (if (i32.eq (local.get 0) (i32.const 3)) (then (drop (call $sleep (i64.const 1)))))
           (if (i32.eq (local.get 0) (i32.const 5)) (then (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 10000000))))))
           (i32.const 0)))"#;
        let limits = Limits { fuel_per_event: u64::MAX / 2, ..Limits::default() };
        let mut c = try_load(engine, text, limits, Grants::default()).unwrap();
        let mut run = |kind, n: u32| {
            let t = Instant::now();
            let f = c.usage().fuel_total;
            for _ in 0..n {
                c.begin(Some(event(kind, b"")));
                loop {
                    match c.run(0, u64::MAX) {
                        Step::Parked => {
                            c.poll(1_000_000_000);
                        }
                        Step::Done => break,
                        Step::Pending => {}
                        s => panic!("{s:?}"),
                    }
                }
            }
            (t.elapsed() / n, (c.usage().fuel_total - f) / u64::from(n))
        };
        run(EventKind::Timer, 1000);
        println!("{name} event {:?}", run(EventKind::Timer, 20000));
        println!("{name} 10000 calls {:?}", run(EventKind::Message, 20));
        println!("{name} loop 10M {:?}", run(EventKind::Config, 3));
        println!("{name} event+sleep {:?}", run(EventKind::Wake, 20000));
        let module = wat::parse_str(text).unwrap();
        let spec = spec(&module, limits, Grants::default());
        let t = Instant::now();
        for _ in 0..1000 {
            Container::load(engine, &module, spec.clone()).unwrap();
        }
        println!("{name} load {:?}", t.elapsed() / 1000);
        let before = rss();
        let v: Vec<_> = (0..1000).map(|_| Container::load(engine, &module, spec.clone()).unwrap()).collect();
        println!("{name} idle RSS KiB/container {}", (rss() - before) as f64 / 1000.0);
        drop(v);
        let before = rss();
        let v: Vec<_> = (0..1000)
            .map(|_| {
                let mut c = Container::load(engine, &module, spec.clone()).unwrap();
                c.begin(Some(event(EventKind::Wake, b"")));
                let t0 = 0;
                assert_eq!(c.run(t0, 1000000), Step::Parked);
                c
            })
            .collect();
        println!("{name} parked RSS KiB/container {}", (rss() - before) as f64 / 1000.0);
        drop(v);
    }
}

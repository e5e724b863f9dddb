use coracle_test_agreement::*;
fn main() {
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    let m = coracle_prepare::mend(&wat::parse_str(text).unwrap()).unwrap();
    for mut machine in machines(Limits::default()) {
        let i = machine.instantiate(&m).unwrap();
        for (name, export) in machine.exports(i) {
            if let Export::Func(Some((params, _))) = export {
                for v in [0u64, 5] {
                    let args: Vec<_> = params.iter().map(|t| t.value(v)).collect();
                    println!("{} {name} {v}: {:?}", machine.name(), machine.call(i, &name, &args));
                }
            }
        }
    }
}

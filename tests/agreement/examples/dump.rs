fn main() {
    let seed: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let data = coracle_test_agreement::random::Random(seed).bytes(4096);
    let m = coracle_test_agreement::random::module(&data).unwrap();
    println!("{}", wasmprinter::print_bytes(&m).unwrap());
}

//! What an engine is known to get wrong: it still does, and image preparation mends it.

use coracle_prepare::mend;
use coracle_test_agreement::{Interpreted, Limits, Machine, Value, machines};

/// Programs that take an `i32` and return one, with an argument and the result.
const PROGRAMS: [(&str, &str, [u32; 2]); 7] = [
    (
        "select by a local that is zero",
        "(func (export \"run\") (param i32) (result i32)
            (select (i32.const 1) (local.get 0) (i32.eqz (local.get 0))))",
        [5, 5],
    ),
    (
        "select by a local that is not zero, other comparison",
        "(func (export \"run\") (param i32) (result i32)
            (select (local.get 0) (i32.const 1) (i32.ne (i32.const 0) (local.get 0))))",
        [0, 1],
    ),
    (
        "select by a comparison of a comparison",
        "(func (export \"run\") (param i32) (result i32)
            (select (i32.const 1) (i32.const 2) (i32.eqz (i32.eqz (local.get 0)))))",
        [0, 2],
    ),
    (
        "a local below the parameter of an if",
        "(func (export \"run\") (param i32) (result i32) (local i32)
            (local.get 0) (i32.const 3) (local.get 1)
            (if (param i32) (result i32) (then (loop)))
            (drop))",
        [7, 7],
    ),
    (
        "a local below the parameter of a block",
        "(func (export \"run\") (param i32) (result i32) (local i32)
            (local.get 0) (i32.const 3)
            (block (param i32) (result i32) (br_if 0 (i32.eqz (local.get 1))) (local.set 0 (i32.const 9)) (loop))
            (drop))",
        [7, 7],
    ),
    (
        "a local that was just set below the parameter of a loop",
        "(func (export \"run\") (param i32) (result i32) (local i32)
            (local.tee 1 (i32.add (local.get 0) (i32.const 1))) (i32.const 0) (local.get 0)
            (loop (param i32) (result i32) (loop (param i32) (result i32)))
            (drop) (drop))",
        [7, 8],
    ),
    (
        "a local below the parameter of a loop",
        "(func (export \"run\") (param i32) (result i32) (local i32)
            (local.get 0) (i32.const 3)
            (loop (param i32) (result i32) (local.set 0 (i32.const 9)))
            (drop))",
        [7, 7],
    ),
];

/// Those that come out wrong without mending; the others do so only by chance.
const WRONG: [&str; 2] = ["select by a local that is zero", "a local below the parameter of an if"];

fn module(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {fields})")).unwrap()
}

fn run(machine: &mut dyn Machine, module: &[u8], argument: u32) -> Value {
    let instance = machine.instantiate(module).unwrap();
    // A first call leaves something else in the engine's registers.
    machine.call(instance, "run", &[Value::I32(argument ^ 0x5555)]).unwrap();
    machine.call(instance, "run", &[Value::I32(argument)]).unwrap()[0].unwrap()
}

#[test]
fn mended_programs_are_right_everywhere() {
    for (name, fields, [argument, expected]) in PROGRAMS {
        let mended = mend(&module(fields)).unwrap();
        assert_ne!(mended, module(fields), "{name}: nothing was mended");
        assert_eq!(mend(&mended).unwrap(), mended, "{name}: mending twice changes more");
        for mut machine in machines(Limits::default()) {
            let result = run(&mut *machine, &mended, argument);
            assert_eq!(result, Value::I32(expected), "{} {name}", machine.name());
        }
    }
}

/// When an engine's update makes this fail, what it mends can go.
#[test]
fn wasmi_still_gets_them_wrong() {
    for (name, fields, [argument, expected]) in PROGRAMS.into_iter().filter(|(name, ..)| WRONG.contains(name)) {
        let result = run(&mut Interpreted::new(Limits::default()), &module(fields), argument);
        assert_ne!(result, Value::I32(expected), "{name}");
    }
}

#[test]
fn nothing_else_is_changed() {
    for fields in [
        "(func (param i32) (result i32) (select (i32.const 1) (i32.const 2) (local.get 0)))",
        "(func (param i32) (result i32) (select (i32.const 1) (i32.const 2) (i32.lt_s (local.get 0) (i32.const 9))))",
        "(func (param i32) (if (i32.eqz (local.get 0)) (then)))",
        "(func (param i32) (block (br_if 0 (i32.eq (local.get 0) (i32.const 1)))))",
        "(func (param i32) (result i32) (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.const 2))))",
        "(func (param i32) (local.get 0) (block) (block (param i32) (drop)))",
        "(func (param i32) (result i32) (block (result i32) (loop (result i32) (local.get 0))))",
    ] {
        assert_eq!(mend(&module(fields)).unwrap(), module(fields), "{fields}");
    }
}

//! How a container ends when its guest does what it cannot, and how large it may grow.

mod common;

use common::{engines, event, start, try_load};
use coracle_container::{Grants, Limits, Step};
use coracle_engine::{LoadError, function_name};
use coracle_guest_abi::EventKind;
use coracle_lifecycle::{ExitReason, Place, TrapKind};

/// A module with a table of two elements (one of them empty) whose event runs `body`.
fn module(body: &str) -> String {
    format!(
        r#"(module
  (type $none (func)) (type $one (func (param i32)))
  (import "coracle:time@1" "now" (func $now (result i64)))
  (memory (export "memory") 1)
  (table 2 funcref)
  (elem (i32.const 0) $empty)
  (func $empty)
  (func $deep (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
      (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
  (func $culprit {body})
  (func (export "on_event") (param i32 i32 i32) (result i32) (call $culprit) (i32.const 0)))"#
    )
}

fn end(engine: &coracle_engine::EngineHandle, text: &str, limits: Limits) -> Step {
    let mut c = try_load(engine, text, limits, Grants::default()).unwrap();
    start(&mut c, 0, Some(event(EventKind::Timer, b"")))
}

#[test]
fn every_trap_is_told_with_its_place() {
    let cases = [
        (TrapKind::Unreachable, "unreachable"),
        (TrapKind::MemoryOutOfBounds, "(drop (i32.load (i32.const 65533)))"),
        (TrapKind::MemoryOutOfBounds, "(drop (i32.load offset=4294967295 (i32.const -1)))"),
        (TrapKind::MemoryOutOfBounds, "(memory.fill (i32.const 0) (i32.const 0) (i32.const 65537))"),
        (TrapKind::TableOutOfBounds, "(call_indirect (type $none) (i32.const 2))"),
        (TrapKind::IndirectCallToNull, "(call_indirect (type $none) (i32.const 1))"),
        (TrapKind::BadSignature, "(call_indirect (type $one) (i32.const 1) (i32.const 0))"),
        (TrapKind::DivisionByZero, "(drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))"),
        (TrapKind::DivisionByZero, "(drop (i64.rem_s (i64.const 1) (i64.load (i32.const 0))))"),
        (
            TrapKind::IntegerOverflow,
            "(i32.store (i32.const 0) (i32.const -1)) (drop (i32.div_s (i32.const 0x80000000) (i32.load (i32.const 0))))",
        ),
        (TrapKind::BadConversion, "(drop (i32.trunc_f32_s (f32.div (f32.const 0) (f32.const 0))))"),
        (TrapKind::IntegerOverflow, "(drop (i32.trunc_f64_s (f64.const 1e300)))"),
    ];
    for kind in TrapKind::ALL {
        assert!(cases.iter().any(|(k, _)| *k == kind), "{kind:?} is not tried");
    }
    for engine in engines() {
        for (kind, body) in cases {
            let bytes = wat::parse_str(module(body)).unwrap();
            let Step::Exited(ExitReason::Trapped(got, Some(Place { function, offset }))) =
                end(engine, &module(body), Limits::default())
            else {
                panic!("{body}");
            };
            assert_eq!(got, kind, "{body}");
            assert_eq!(function_name(&bytes, function).as_deref(), Some("culprit"), "{body}");
            let offset = offset as usize;
            assert!(offset > bytes.len() / 3 && offset < bytes.len(), "{body} at {offset} of {}", bytes.len());
        }
    }
}

#[test]
fn the_place_is_the_instruction() {
    let bytes = wat::parse_str(module("nop nop unreachable")).unwrap();
    let nops = bytes.windows(3).position(|w| w == [1, 1, 0]).unwrap();
    for engine in engines() {
        let place = Place { function: 3, offset: u32::try_from(nops + 2).unwrap() };
        let want = Step::Exited(ExitReason::Trapped(TrapKind::Unreachable, Some(place)));
        assert_eq!(end(engine, &module("nop nop unreachable"), Limits::default()), want);
    }
}

#[test]
fn the_stack_is_limited_in_classes() {
    let deep = |n: u32| module(&format!("(drop (call $deep (i32.const {n})))"));
    for engine in engines() {
        let depth = |stack| {
            let fits = |n| {
                let limits = Limits { stack, ..Limits::default() };
                match end(engine, &deep(n), limits) {
                    Step::Done => true,
                    Step::Exited(ExitReason::StackExhausted) => false,
                    other => panic!("{other:?}"),
                }
            };
            let (mut low, mut high) = (1, 60_000);
            assert!(!fits(high));
            while low + 1 < high {
                let middle = (low + high) / 2;
                if fits(middle) { low = middle } else { high = middle }
            }
            low
        };
        let depths = [512, 4096, 8192, 16 * 1024, 32 * 1024].map(depth);
        assert_eq!(depths[0], depths[1]);
        // Each is twice the one before, but for what the engine itself takes.
        assert!(depths.windows(2).skip(1).all(|d| d[1] > d[0] * 3 / 2 && d[1] < d[0] * 5 / 2), "{depths:?}");
        // What the M core's stack holds, some 16 bytes for a call like this, fits here.
        assert!(depths[4] > 32 * 1024 / 32, "{depths:?}");
    }
}

#[test]
fn memory_and_table_keep_to_their_limits() {
    let grows = r#"(module (memory (export "memory") 1)
      (func (export "on_event") (param i32 i32 i32) (result i32)
        (i32.sub (i32.const 0) (i32.add
          (i32.mul (i32.const 100) (memory.grow (i32.const 1)))
          (i32.add (i32.const 10) (memory.grow (i32.const 1)))))))"#;
    for engine in engines() {
        let with = |memory| end(engine, grows, Limits { memory, ..Limits::default() });
        // The first growing gives 1, or -1; the second 2, or -1.
        assert_eq!(with(3 * 65536), Step::Exited(ExitReason::Returned(-112)));
        assert_eq!(with(3 * 65536 - 1), Step::Exited(ExitReason::Returned(-109)));
        let refused = |text, limits| try_load(engine, text, limits, Grants::default()).err();
        let limit = Limits { memory: 65535, ..Limits::default() };
        assert_eq!(refused(grows, limit), Some(LoadError::Memory { need: 65536, limit: 65535 }));
        let table = module("");
        assert!(matches!(
            refused(&table, Limits { table: 1, ..Limits::default() }),
            Some(LoadError::Instantiate { .. })
        ));
        assert_eq!(refused(&table, Limits { table: 2, ..Limits::default() }), None);
    }
}

#[test]
fn imports_have_the_types_of_the_table() {
    for engine in engines() {
        let refused = |text: &str| try_load(engine, text, Limits::default(), Grants::default()).err();
        for import in coracle_guest_abi::IMPORTS {
            let name = |ty: &coracle_guest_abi::Type| format!("{ty:?}").to_lowercase();
            let params: Vec<_> = import.params.iter().map(name).collect();
            let result = import.result.as_ref().map_or(String::new(), |ty| format!("(result {})", name(ty)));
            let text = |params: &str| {
                format!(
                    r#"(module (import "{}" "{}" (func (param {params}) {result})) (func (export "_start")))"#,
                    import.module, import.name
                )
            };
            let params = params.join(" ");
            // What needs a grant is not linked without; the others are.
            match (import.grant, refused(&text(&params))) {
                (None, None) => {}
                (Some(grant), Some(LoadError::Import { grant: Some(named), .. })) => assert_eq!(grant, named),
                (_, other) => panic!("{}.{}: {other:?}", import.module, import.name),
            }
            assert!(matches!(refused(&text(&format!("{params} f64"))), Some(LoadError::Import { grant: None, .. })));
        }
        let unknown = r#"(module (import "coracle:log@2" "write" (func)) (func (export "_start")))"#;
        assert!(matches!(refused(unknown), Some(LoadError::Import { grant: None, .. })));
    }
}

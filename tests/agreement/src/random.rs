//! Modules that a generator made, run on all engines with the same imports and arguments.

use std::fmt;

use arbitrary::Unstructured;
use coracle_engine::Backend;
use wasm_smith::{Config, Module};

use crate::{Compiled, Export, Failure, Interpreted, Limits, Machine, Type, Value};

/// Fuel of instantiating, and of each call: enough on wasmi to grow a memory to its limit, but little, because most
/// loops that a generator makes are endless.
const FUEL: u64 = 150_000;
/// Calls of each exported function.
const CALLS_PER_EXPORT: u64 = 2;
/// Most that memories and tables of generated modules may grow to: they are compared after every call.
const LIMITS: Limits = Limits { memory_bytes: 2 * 65_536, table_elements: 1000 };

/// Functions that a generated module may import.
const IMPORTS: &str = r#"(module
    (import "env" "none" (func))
    (import "env" "i32" (func (param i32) (result i32)))
    (import "env" "i64" (func (param i64 i32) (result i64)))
    (import "env" "f32" (func (param f32) (result f32)))
    (import "env" "f64" (func (param f64 f32) (result f64)))
    (import "env" "all" (func (param i32 i64 f32 f64) (result f64 f32 i64 i32))))"#;

/// A deterministic sequence of numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.number() as u8).collect()
    }

    /// A value: half of them at the edges of their type, NaNs with unusual bits included.
    pub fn value(&mut self, ty: Type) -> Value {
        const EDGES_32: [u32; 12] = [
            0,
            1,
            u32::MAX,
            i32::MIN as u32,
            i32::MAX as u32,
            255,
            65_536,
            0x7f80_0000,
            0x7fc0_0000,
            0xffc0_0001,
            0x7fa0_0000,
            0x4f00_0000,
        ];
        const EDGES_64: [u64; 12] = [
            0,
            1,
            u64::MAX,
            i64::MIN as u64,
            i64::MAX as u64,
            255,
            1 << 32,
            0x7ff0_0000_0000_0000,
            0x7ff8_0000_0000_0000,
            0xfff8_0000_0000_0001,
            0x7ff4_0000_0000_0000,
            0x43e0_0000_0000_0000,
        ];
        let number = self.number();
        let pick = (self.number() % 24) as usize;
        match ty {
            Type::I32 | Type::F32 => ty.value(EDGES_32.get(pick).map_or(number, |e| u64::from(*e))),
            Type::I64 | Type::F64 => ty.value(EDGES_64.get(pick).copied().unwrap_or(number)),
        }
    }
}

/// What import `number` returns as its result `at` for `args`: any value, but always the same.
pub fn answer(ty: Type, number: usize, at: usize, args: &[Value]) -> Value {
    let bits = args.iter().fold((number * 8 + at) as u64, |hash, arg| {
        let bits = match *arg {
            Value::I32(v) | Value::F32(v) => u64::from(v),
            Value::I64(v) | Value::F64(v) => v,
        };
        Random(hash ^ bits).number()
    });
    Random(bits).value(ty)
}

/// A module made of `data`, or `None` when there is too little of it. It uses no feature that is off.
pub fn module(data: &[u8]) -> Option<Vec<u8>> {
    let mut data = Unstructured::new(data);
    let config = Config {
        available_imports: Some(wat::parse_str(IMPORTS).unwrap()),
        // One in two: programs that end say more, but traps must agree too.
        disallow_traps: data.arbitrary().ok()?,
        export_everything: true,
        max_imports: 6,
        max_funcs: 8,
        min_funcs: 1,
        max_instructions: 200,
        max_memories: 1,
        max_tables: 1,
        max_table_elements: 1000,
        max_memory32_bytes: 3 * 65_536,
        max_data_segments: 4,
        max_element_segments: 4,
        max_globals: 8,
        max_types: 10,
        // What the cores have.
        multi_value_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        bulk_memory_enabled: true,
        extended_const_enabled: true,
        custom_page_sizes_enabled: true,
        allow_floats: true,
        // What they do not.
        canonicalize_nans: false,
        acquire_release_atomics_enabled: false,
        compact_imports_enabled: false,
        custom_descriptors_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        multibyte_array_access_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    };
    // Images are mended when they are prepared.
    Module::new(config, &mut data).ok().map(|m| coracle_prepare::mend(&m.to_bytes()).unwrap())
}

/// What a comparison compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Modules that were instantiated on all engines.
    pub instances: u64,
    /// Modules that no engine could instantiate, for the same reason.
    pub not_instantiated: u64,
    /// Calls that returned.
    pub returned: u64,
    /// Calls that trapped.
    pub trapped: u64,
    /// Modules of which no more was compared, because an engine ran out of fuel or stack.
    pub limited: u64,
    /// Calls from the guest to the host.
    pub host_calls: u64,
    /// Floats among the results and globals that are NaNs.
    pub nans: u64,
    /// Fuel of the calls that returned, on wasmi.
    pub fuel_interpreted: u64,
    /// The same on Wasmtime.
    pub fuel_compiled: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instances, not_instantiated, returned, trapped, limited, host_calls, nans, .. } = self;
        write!(
            f,
            "{instances} modules ({not_instantiated} more not instantiated): {returned} calls returned, {trapped} \
             trapped, {limited} ran out of fuel or stack; {host_calls} host calls, {nans} NaNs; fuel wasmi {}, \
             Wasmtime {}",
            self.fuel_interpreted, self.fuel_compiled
        )
    }
}

/// Everything that a guest could tell after a call, but the call's own outcome.
#[derive(Debug, PartialEq, Eq)]
struct State {
    globals: Vec<(String, Option<Value>)>,
    memories: Vec<(String, Option<Vec<u8>>)>,
    tables: Vec<(String, Export)>,
    host_calls: Vec<(usize, Vec<Value>)>,
}

fn state(machine: &mut dyn Machine, instance: usize) -> State {
    let mut state = State { globals: vec![], memories: vec![], tables: vec![], host_calls: machine.host_calls() };
    for (name, export) in machine.exports(instance) {
        match export {
            Export::Func(_) => {}
            Export::Global => state.globals.push((name.clone(), machine.global(instance, &name))),
            Export::Memory => state.memories.push((name.clone(), machine.memory(instance, &name))),
            Export::Table(_) => state.tables.push((name, export)),
        }
    }
    state
}

/// Runs a module with the arguments of `seed` on all engines, and adds to `report`.
///
/// # Panics
/// When two of them differ in anything that a guest could tell, or Wasmtime takes more fuel than wasmi.
pub fn compare(module: &[u8], seed: u64, report: &mut Report) {
    let mut interpreted = Interpreted::new(LIMITS);
    let mut native = Compiled::new(Backend::Native, LIMITS);
    let mut pulley = Compiled::new(Backend::Pulley, LIMITS);
    interpreted.define_imports(module).unwrap();
    native.define_imports(module).unwrap();
    pulley.define_imports(module).unwrap();
    compare_machines([&mut interpreted, &mut native, &mut pulley], module, seed, report);
}

/// The same on machines that are given: the first is the one whose fuel the others do not exceed.
pub fn compare_machines(mut machines: [&mut dyn Machine; 3], module: &[u8], seed: u64, report: &mut Report) {
    let names = [0, 1, 2].map(|n: usize| machines[n].name());
    let outcomes = each(&mut machines, |m| {
        m.set_fuel(FUEL);
        m.instantiate(module)
    });
    if outcomes.iter().any(|o| o.as_ref().is_err_and(Failure::is_limit)) {
        report.limited += 1;
        return;
    }
    let classes = outcomes.each_ref().map(|o| o.as_ref().map_err(Failure::class).map(drop));
    assert!(classes.iter().all(|c| *c == classes[0]), "instantiating on {names:?}: {outcomes:?}");
    let [Ok(instance), ..] = outcomes else {
        report.not_instantiated += 1;
        return;
    };
    report.instances += 1;
    same_state(&mut machines, instance, "after instantiating", report);
    let mut random = Random(seed);
    for (name, export) in machines[0].exports(instance) {
        let Export::Func(Some((params, _))) = export else { continue };
        for _ in 0..CALLS_PER_EXPORT {
            let args: Vec<_> = params.iter().map(|ty| random.value(*ty)).collect();
            let what = format!("{name:?}{args:x?}");
            let outcomes = each(&mut machines, |m| {
                m.set_fuel(FUEL);
                let outcome = m.call(instance, &name, &args);
                (outcome, FUEL - m.fuel())
            });
            if outcomes.iter().any(|(o, _)| o.as_ref().is_err_and(Failure::is_limit)) {
                // What was done before that may differ, so there is nothing more to compare.
                report.limited += 1;
                return;
            }
            let classes = outcomes.each_ref().map(|(o, _)| o.as_ref().map_err(Failure::class));
            assert!(classes.iter().all(|c| *c == classes[0]), "{what} on {names:?}: {outcomes:x?}");
            match &outcomes[0].0 {
                Ok(results) => {
                    report.returned += 1;
                    report.nans += results.iter().filter(|v| v.is_some_and(is_nan)).count() as u64;
                    let fuel = outcomes.each_ref().map(|(_, fuel)| *fuel);
                    assert!(fuel[1] == fuel[2] && fuel[1] <= fuel[0], "fuel of {what} on {names:?}: {fuel:?}");
                    report.fuel_interpreted += fuel[0];
                    report.fuel_compiled += fuel[1];
                }
                Err(_) => report.trapped += 1,
            }
            same_state(&mut machines, instance, &what, report);
        }
    }
}

fn each<T>(machines: &mut [&mut dyn Machine; 3], mut f: impl FnMut(&mut dyn Machine) -> T) -> [T; 3] {
    machines.each_mut().map(|m| f(&mut **m))
}

fn same_state(machines: &mut [&mut dyn Machine; 3], instance: usize, what: &str, report: &mut Report) {
    let names = machines.each_ref().map(|m| m.name());
    let [first, others @ ..] = each(machines, |m| state(m, instance));
    report.host_calls += first.host_calls.len() as u64;
    report.nans += first.globals.iter().filter(|(_, v)| v.is_some_and(is_nan)).count() as u64;
    for (other, name) in others.iter().zip(&names[1..]) {
        let both = format!("after {what}, {} and {name}", names[0]);
        assert_eq!(first.host_calls, other.host_calls, "{both}: host calls");
        assert_eq!(first.globals, other.globals, "{both}: globals");
        assert_eq!(first.tables, other.tables, "{both}: tables");
        for ((memory, left), (_, right)) in first.memories.iter().zip(&other.memories) {
            let (left, right) = (left.as_deref().unwrap_or_default(), right.as_deref().unwrap_or_default());
            assert_eq!(left.len(), right.len(), "{both}: size of {memory}");
            let at = left.iter().zip(right).position(|(l, r)| l != r);
            assert_eq!(at, None, "{both}: first byte of {memory} that differs");
        }
    }
}

fn is_nan(value: Value) -> bool {
    match value {
        Value::F32(bits) => f32::from_bits(bits).is_nan(),
        Value::F64(bits) => f64::from_bits(bits).is_nan(),
        Value::I32(_) | Value::I64(_) => false,
    }
}

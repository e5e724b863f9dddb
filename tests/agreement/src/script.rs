//! Runs a script of the official tests (`.wast`) on all engines at once.
//!
//! Every module of a script must be accepted by all engines or by none, and by the same ones as by image preparation's
//! validator. What uses a feature that is off is skipped and counted under the feature's name; a directive that needs
//! a skipped module is skipped with it.

use std::collections::{BTreeMap, HashMap};

use coracle_lifecycle::TrapKind;
use coracle_prepare::{AdmissionLimits, PrepareError, mend, prepare};
use wasmparser::Validator;
use wast::{
    QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet,
    core::{NanPattern, WastArgCore, WastRetCore},
    lexer::Lexer,
    parser::{self, ParseBuffer},
};

use crate::{Failure, Instance, Machine, Type, Value};

/// The functions of the module `spectest` that tests import.
pub(crate) const PRINTS: [(&str, &[Type]); 7] = [
    ("print", &[]),
    ("print_i32", &[Type::I32]),
    ("print_i64", &[Type::I64]),
    ("print_f32", &[Type::F32]),
    ("print_f64", &[Type::F64]),
    ("print_i32_f32", &[Type::I32, Type::F32]),
    ("print_f64_f64", &[Type::F64, Type::F64]),
];
/// The value of its integer globals.
pub(crate) const GLOBAL_INT: i32 = 666;
/// The value of its float globals.
pub(crate) const GLOBAL_FLOAT: f64 = 666.6;
/// Fuel of each directive: enough for the largest growth and copy in the tests.
const FUEL: u64 = 1 << 40;

/// What was run and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Calls and modules whose outcome the script states, checked on every engine.
    pub assertions: u64,
    /// Modules instantiated on every engine.
    pub modules: u64,
    /// Modules that every engine refused, as the script states.
    pub refused: u64,
    /// Fuel of the calls that returned as stated: on wasmi, on Wasmtime, on Pulley.
    pub fuel: [u64; 3],
    /// Directives that were not run, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Directives whose outcome is not the stated one, or not the same on all engines: the place, and what happened.
    pub failures: Vec<(String, String)>,
}

impl Tally {
    /// Adds the counts of another script.
    pub fn add(&mut self, other: Tally) {
        self.assertions += other.assertions;
        self.modules += other.modules;
        self.refused += other.refused;
        for (sum, more) in self.fuel.iter_mut().zip(other.fuel) {
            *sum += more;
        }
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        self.failures.extend(other.failures);
    }
}

/// What a name in the script stands for.
#[derive(Debug, Clone)]
enum Named {
    /// An instance on each engine.
    Instance([Instance; 3]),
    /// A module that was skipped, and why.
    Skipped(String),
}

struct Run<'m> {
    file: String,
    mended: bool,
    machines: &'m mut [Box<dyn Machine>; 3],
    tally: Tally,
    /// The instance that directives without a name mean.
    current: Option<Named>,
    named: HashMap<String, Named>,
    definitions: HashMap<Option<String>, Vec<u8>>,
    /// Import module names whose instance was skipped.
    unregistered: HashMap<String, String>,
}

/// Runs a script. The machines must have the module `spectest`.
pub fn run(file: &str, text: &str, machines: &mut [Box<dyn Machine>; 3]) -> Tally {
    run_with(file, text, machines, false)
}

/// The same with every module mended as an image's is.
pub fn run_mended(file: &str, text: &str, machines: &mut [Box<dyn Machine>; 3]) -> Tally {
    run_with(file, text, machines, true)
}

fn run_with(file: &str, text: &str, machines: &mut [Box<dyn Machine>; 3], mended: bool) -> Tally {
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).unwrap_or_else(|e| panic!("{file}: {e}"));
    let script = parser::parse::<Wast<'_>>(&buffer).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut run = Run {
        file: file.to_owned(),
        mended,
        machines,
        tally: Tally::default(),
        current: None,
        named: HashMap::new(),
        definitions: HashMap::new(),
        unregistered: HashMap::new(),
    };
    for directive in script.directives {
        let (line, _) = directive.span().linecol_in(text);
        let at = format!("{}:{}", run.file, line + 1);
        for machine in run.machines.iter_mut() {
            machine.set_fuel(FUEL);
        }
        match run.directive(directive) {
            Ok(()) => {}
            Err(Stop::Skip(reason)) => *run.tally.skipped.entry(reason).or_default() += 1,
            Err(Stop::Fail(text)) => run.tally.failures.push((at, text)),
        }
    }
    run.tally
}

/// Only checks of every module in a script that all engines and preparation accept it, or that none does: for scripts
/// about features that are off, whose assertions rest on modules that nobody accepts.
pub fn admissions(file: &str, text: &str, machines: &mut [Box<dyn Machine>; 3]) -> Tally {
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).unwrap_or_else(|e| panic!("{file}: {e}"));
    let script = parser::parse::<Wast<'_>>(&buffer).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut tally = Tally::default();
    for directive in script.directives {
        let (line, _) = directive.span().linecol_in(text);
        let (WastDirective::Module(mut module) | WastDirective::ModuleDefinition(mut module)) = directive else {
            continue;
        };
        match encode(&mut module).and_then(|bytes| admit(machines, &bytes)) {
            Ok(()) => tally.modules += 1,
            Err(Stop::Skip(reason)) => {
                tally.refused += 1;
                *tally.skipped.entry(reason).or_default() += 1;
            }
            Err(Stop::Fail(text)) => tally.failures.push((format!("{file}:{}", line + 1), text)),
        }
    }
    tally
}

/// Why a directive was not carried out.
enum Stop {
    Skip(String),
    Fail(String),
}

fn fail<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fail(text.into()))
}

fn skip<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skip(text.into()))
}

impl Run<'_> {
    fn directive(&mut self, directive: WastDirective<'_>) -> Result<(), Stop> {
        match directive {
            WastDirective::Module(mut module) => {
                let name = module.name().map(|id| id.name().to_owned());
                let outcome = encode(&mut module).and_then(|bytes| self.instantiate(&bytes));
                self.became(name, outcome)
            }
            WastDirective::ModuleDefinition(mut module) => {
                let name = module.name().map(|id| id.name().to_owned());
                let bytes = encode(&mut module)?;
                self.definitions.insert(name, bytes.clone());
                self.definitions.insert(None, bytes);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let module = module.map(|id| id.name().to_owned());
                let Some(bytes) = self.definitions.get(&module).cloned() else {
                    return fail(format!("no definition {module:?}"));
                };
                let outcome = self.instantiate(&bytes);
                self.became(instance.map(|id| id.name().to_owned()), outcome)
            }
            WastDirective::AssertMalformed { mut module, .. } | WastDirective::AssertInvalid { mut module, .. } => {
                let Ok(bytes) = module.encode() else {
                    return skip("refused by the text parser, no engine sees it");
                };
                self.all_refuse(&bytes)
            }
            WastDirective::AssertInvalidCustom { .. } | WastDirective::AssertMalformedCustom { .. } => {
                skip("custom sections are dropped when an image is prepared")
            }
            WastDirective::Register { name, module, .. } => {
                let instances = match self.instances(module.map(|id| id.name())) {
                    Err(Stop::Skip(reason)) => {
                        self.unregistered.insert(name.to_owned(), reason.clone());
                        return skip(reason);
                    }
                    other => other?,
                };
                for (machine, instance) in self.machines.iter_mut().zip(instances) {
                    machine.register(instance, name).map_err(Stop::Fail)?;
                }
                Ok(())
            }
            WastDirective::Invoke(invoke) => {
                let outcomes = self.invoke(&invoke)?;
                if outcomes.iter().all(Result::is_ok) { Ok(()) } else { fail(format!("{outcomes:?}")) }
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                let expected = expected(&results)?;
                let outcomes = self.execute(exec)?;
                self.tally.assertions += 1;
                let values: Vec<_> = outcomes.iter().map(|o| o.as_ref().ok()).collect();
                let fits = |got: &Vec<Option<Value>>| {
                    got.len() == expected.len()
                        && got.iter().zip(&expected).all(|(got, want)| got.is_some_and(|got| want.fits(got)))
                };
                // The bits of a NaN are the engine's to choose, but both cores must choose alike.
                if !values.iter().all(|v| v.is_some_and(fits) && *v == values[0]) {
                    return fail(format!("expected {expected:x?}, got {outcomes:x?}"));
                }
                let fuel = self.machines.each_ref().map(|m| FUEL - m.fuel());
                if fuel[1] > fuel[0] || fuel[1] != fuel[2] {
                    return fail(format!("fuel on wasmi, Wasmtime and Pulley: {fuel:?}"));
                }
                for (sum, more) in self.tally.fuel.iter_mut().zip(fuel) {
                    *sum += more;
                }
                Ok(())
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let outcomes = self.execute(exec)?;
                self.tally.assertions += 1;
                let Some(kind) = trap_kind(message) else {
                    return fail(format!("unknown trap {message:?}: {outcomes:?}"));
                };
                let right = |o: &Outcome| matches!(o, Err(Failure::Trap(k)) if *k == kind);
                if outcomes.iter().all(right) { Ok(()) } else { fail(format!("expected {kind:?}, got {outcomes:?}")) }
            }
            WastDirective::AssertExhaustion { call, .. } => {
                let outcomes = self.invoke(&call)?;
                self.tally.assertions += 1;
                let right = |o: &Outcome| matches!(o, Err(Failure::StackExhausted));
                if outcomes.iter().all(right) { Ok(()) } else { fail(format!("expected exhaustion, got {outcomes:?}")) }
            }
            WastDirective::AssertUnlinkable { mut module, .. } => {
                let Ok(bytes) = module.encode() else { return skip("refused by the text parser, no engine sees it") };
                let outcomes = self.instantiate_each(&bytes)?;
                self.tally.assertions += 1;
                let right = |o: &Result<Instance, Failure>| matches!(o, Err(Failure::Unlinkable(_)));
                if outcomes.iter().all(right) { Ok(()) } else { fail(format!("expected unlinkable, got {outcomes:?}")) }
            }
            WastDirective::AssertException { .. } => skip("exceptions"),
            WastDirective::AssertSuspension { .. } => skip("stack switching"),
            WastDirective::Thread(_) | WastDirective::Wait { .. } => skip("threads"),
        }
    }

    /// Notes what became of a module definition under its name and as the current one.
    fn became(&mut self, name: Option<String>, outcome: Result<[Instance; 3], Stop>) -> Result<(), Stop> {
        let (named, result) = match outcome {
            Ok(instances) => (Named::Instance(instances), Ok(())),
            Err(Stop::Skip(reason)) => (Named::Skipped(reason.clone()), skip(reason)),
            Err(Stop::Fail(text)) => (Named::Skipped("its module failed".to_owned()), fail(text)),
        };
        if let Some(name) = name {
            self.named.insert(name, named.clone());
        }
        self.current = Some(named);
        result
    }

    fn instances(&self, name: Option<&str>) -> Result<[Instance; 3], Stop> {
        let named = match name {
            Some(name) => self.named.get(name),
            None => self.current.as_ref(),
        };
        match named {
            Some(Named::Instance(instances)) => Ok(*instances),
            Some(Named::Skipped(reason)) => skip(reason),
            None => fail(format!("no instance {name:?}")),
        }
    }

    fn all_refuse(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.tally.refused += 1;
        let accepting: Vec<_> = self.machines.iter().filter(|m| m.accepts(bytes).is_ok()).map(|m| m.name()).collect();
        if accepting.is_empty() { Ok(()) } else { fail(format!("accepted by {accepting:?}")) }
    }

    fn instantiate_each(&mut self, bytes: &[u8]) -> Result<[Result<Instance, Failure>; 3], Stop> {
        admit(self.machines, bytes)?;
        if let Some(reason) = imports_of(bytes).iter().find_map(|m| self.unregistered.get(m)) {
            return skip(reason);
        }
        let bytes = if self.mended { &mend(bytes).map_err(|e| Stop::Fail(e.to_string()))? } else { bytes };
        Ok(self.machines.each_mut().map(|m| m.instantiate(bytes)))
    }

    fn instantiate(&mut self, bytes: &[u8]) -> Result<[Instance; 3], Stop> {
        match self.instantiate_each(bytes)? {
            [Ok(a), Ok(b), Ok(c)] => {
                self.tally.modules += 1;
                Ok([a, b, c])
            }
            outcomes => fail(format!("{outcomes:?}")),
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<[Outcome; 3], Stop> {
        let instances = self.instances(invoke.module.map(|id| id.name()))?;
        let args = invoke.args.iter().map(argument).collect::<Result<Vec<_>, _>>()?;
        let mut instances = instances.into_iter();
        Ok(self.machines.each_mut().map(|m| m.call(instances.next().unwrap(), invoke.name, &args)))
    }

    fn execute(&mut self, execute: WastExecute<'_>) -> Result<[Outcome; 3], Stop> {
        match execute {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(mut module) => {
                let bytes = module.encode().map_err(|e| Stop::Fail(e.to_string()))?;
                Ok(self.instantiate_each(&bytes)?.map(|o| o.map(|_| Vec::new())))
            }
            WastExecute::Get { module, global, .. } => {
                let mut instances = self.instances(module.map(|id| id.name()))?.into_iter();
                Ok(self.machines.each_mut().map(|m| Ok(vec![m.global(instances.next().unwrap(), global)])))
            }
        }
    }
}

/// Checks that all engines have the same view of the module; skips one that needs a feature that is off.
fn admit(machines: &[Box<dyn Machine>; 3], bytes: &[u8]) -> Result<(), Stop> {
    let admission = Validator::new_with_features(coracle_prepare::FEATURES).validate_all(bytes);
    let accepts = machines.each_ref().map(|m| m.accepts(bytes));
    if accepts.iter().any(|a| a.is_ok() != admission.is_ok()) {
        return fail(format!("prepare: {:?}, engines: {accepts:?}", admission.map(drop)));
    }
    if let Err(e) = admission {
        return match prepare(bytes, &AdmissionLimits { memory: u32::MAX }) {
            Err(PrepareError::Feature { feature, .. }) => skip(feature),
            // Preparing writes these tables anew, so it would mend them: the encoding is off on the engines.
            _ if Validator::new_with_features(
                coracle_prepare::FEATURES | wasmparser::WasmFeatures::CALL_INDIRECT_OVERLONG,
            )
            .validate_all(bytes)
            .is_ok() =>
            {
                skip("reference types")
            }
            other => fail(format!("refused without a feature to name: {e}, {other:?}")),
        };
    }
    Ok(())
}

type Outcome = Result<Vec<Option<Value>>, Failure>;

fn encode(module: &mut QuoteWat<'_>) -> Result<Vec<u8>, Stop> {
    module.encode().map_err(|e| Stop::Fail(format!("the text parser: {e}")))
}

/// The module names that a module imports from.
fn imports_of(bytes: &[u8]) -> Vec<String> {
    wasmparser::Parser::new(0)
        .parse_all(bytes)
        .map_while(Result::ok)
        .filter_map(|p| if let wasmparser::Payload::ImportSection(reader) = p { Some(reader) } else { None })
        .flat_map(|reader| reader.into_imports().flatten().map(|i| i.module.to_owned()))
        .collect()
}

fn argument(arg: &WastArg<'_>) -> Result<Value, Stop> {
    match arg {
        WastArg::Core(WastArgCore::I32(v)) => Ok(Value::I32(v.cast_unsigned())),
        WastArg::Core(WastArgCore::I64(v)) => Ok(Value::I64(v.cast_unsigned())),
        WastArg::Core(WastArgCore::F32(v)) => Ok(Value::F32(v.bits)),
        WastArg::Core(WastArgCore::F64(v)) => Ok(Value::F64(v.bits)),
        WastArg::Core(WastArgCore::V128(_)) => skip("SIMD"),
        _ => skip("reference types"),
    }
}

/// A stated result.
#[derive(Debug)]
enum Expected {
    Exactly(Value),
    /// The bits 0x7fc00000 or 0x7ff8000000000000, with either sign.
    CanonicalNan(Type),
    /// Any quiet NaN.
    ArithmeticNan(Type),
}

impl Expected {
    fn fits(&self, got: Value) -> bool {
        match (self, got) {
            (Self::Exactly(want), got) => *want == got,
            (Self::CanonicalNan(Type::F32), Value::F32(bits)) => bits & 0x7fff_ffff == 0x7fc0_0000,
            (Self::CanonicalNan(Type::F64), Value::F64(bits)) => bits & !(1 << 63) == 0x7ff8_0000_0000_0000,
            (Self::ArithmeticNan(Type::F32), Value::F32(bits)) => bits & 0x7fc0_0000 == 0x7fc0_0000,
            (Self::ArithmeticNan(Type::F64), Value::F64(bits)) => bits & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
            _ => false,
        }
    }
}

fn expected(results: &[WastRet<'_>]) -> Result<Vec<Expected>, Stop> {
    results
        .iter()
        .map(|result| {
            let WastRet::Core(result) = result else { return skip("components") };
            Ok(match result {
                WastRetCore::I32(v) => Expected::Exactly(Value::I32(v.cast_unsigned())),
                WastRetCore::I64(v) => Expected::Exactly(Value::I64(v.cast_unsigned())),
                WastRetCore::F32(NanPattern::Value(v)) => Expected::Exactly(Value::F32(v.bits)),
                WastRetCore::F64(NanPattern::Value(v)) => Expected::Exactly(Value::F64(v.bits)),
                WastRetCore::F32(NanPattern::CanonicalNan) => Expected::CanonicalNan(Type::F32),
                WastRetCore::F64(NanPattern::CanonicalNan) => Expected::CanonicalNan(Type::F64),
                WastRetCore::F32(NanPattern::ArithmeticNan) => Expected::ArithmeticNan(Type::F32),
                WastRetCore::F64(NanPattern::ArithmeticNan) => Expected::ArithmeticNan(Type::F64),
                WastRetCore::V128(_) => return skip("SIMD"),
                _ => return skip("reference types"),
            })
        })
        .collect()
}

/// The kind of a trap by the start of the reference interpreter's message.
fn trap_kind(message: &str) -> Option<TrapKind> {
    const MESSAGES: [(&str, TrapKind); 9] = [
        ("unreachable", TrapKind::Unreachable),
        ("out of bounds memory access", TrapKind::MemoryOutOfBounds),
        ("out of bounds table access", TrapKind::TableOutOfBounds),
        ("undefined element", TrapKind::TableOutOfBounds),
        ("uninitialized element", TrapKind::IndirectCallToNull),
        ("indirect call type mismatch", TrapKind::BadSignature),
        ("integer divide by zero", TrapKind::DivisionByZero),
        ("integer overflow", TrapKind::IntegerOverflow),
        ("invalid conversion to integer", TrapKind::BadConversion),
    ];
    MESSAGES.iter().find(|(start, _)| message.starts_with(start)).map(|(_, kind)| *kind)
}

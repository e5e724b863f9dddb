//! wasmi, with the settings of the M core's sandbox.

use coracle_lifecycle::TrapKind;
use wasmi::{
    Config, Engine, Error, Extern, ExternType, Func, FuncType, Global, Linker, Memory, MemoryType, Module, Mutability,
    RefType, Store, StoreLimits, StoreLimitsBuilder, Table, TableType, TrapCode, Val, ValType,
    errors::{ErrorKind, InstantiationError},
};

use crate::{Export, FUEL, Failure, Instance, Limits, Machine, Type, Value};

struct Host {
    limits: StoreLimits,
    calls: Vec<(usize, Vec<Value>)>,
}

/// A wasmi store.
pub struct Interpreted {
    store: Store<Host>,
    linker: Linker<Host>,
    instances: Vec<wasmi::Instance>,
}

impl Interpreted {
    /// A store with the sandbox's settings, but that `start` functions run.
    pub fn new(limits: Limits) -> Self {
        Self::with_config(coracle_sandbox::config(), limits)
    }

    /// A store with these settings, but that `start` functions run: the sandbox calls them as exports instead.
    pub fn with_config(mut config: Config, limits: Limits) -> Self {
        config.allow_start_fn(true);
        let engine = Engine::new(&config);
        let limits =
            StoreLimitsBuilder::new().memory_size(limits.memory_bytes).table_elements(limits.table_elements).build();
        let mut store = Store::new(&engine, Host { limits, calls: Vec::new() });
        store.limiter(|host| &mut host.limits);
        store.set_fuel(FUEL).unwrap();
        let mut linker = Linker::new(&engine);
        linker.allow_shadowing(true);
        Self { store, linker, instances: Vec::new() }
    }

    /// The imports that the official tests use under the module name `spectest`.
    pub fn define_spectest(&mut self) {
        for (name, params) in crate::script::PRINTS {
            let params: Vec<_> = params.iter().map(|t| to_type(*t)).collect();
            self.linker
                .func_new("spectest", name, FuncType::new(params, []), |_, _, _| Ok(()))
                .expect("the name is free");
        }
        let int = crate::script::GLOBAL_INT;
        let float = crate::script::GLOBAL_FLOAT;
        let globals = [
            ("global_i32", Val::I32(int)),
            ("global_i64", Val::I64(int.into())),
            ("global_f32", Val::F32(wasmi::F32::from(float as f32))),
            ("global_f64", Val::F64(wasmi::F64::from(float))),
        ];
        for (name, value) in globals {
            let global = Global::new(&mut self.store, value, Mutability::Const);
            self.linker.define("spectest", name, global).expect("the name is free");
        }
        let table = TableType::new(RefType::Func, 10, Some(20));
        let table = Table::new(&mut self.store, table, wasmi::Ref::Func(wasmi::Nullable::Null)).unwrap();
        self.linker.define("spectest", "table", table).expect("the name is free");
        let memory = Memory::new(&mut self.store, MemoryType::new(1, Some(2))).unwrap();
        self.linker.define("spectest", "memory", memory).expect("the name is free");
    }

    /// Imports of any name and type: functions record their arguments and return numbers that follow from them.
    pub fn define_imports(&mut self, module: &[u8]) -> Result<(), Failure> {
        let module = Module::new(self.store.engine(), module).map_err(|e| Failure::Refused(e.to_string()))?;
        for (number, import) in module.imports().enumerate() {
            let ExternType::Func(ty) = import.ty() else { continue };
            let results: Vec<_> = ty.results().iter().map(|t| from_type(*t)).collect();
            let func = Func::new(&mut self.store, ty.clone(), move |mut caller, params, out| {
                let args: Vec<_> = params.iter().filter_map(from_val).collect();
                for (at, (slot, ty)) in out.iter_mut().zip(&results).enumerate() {
                    let Some(ty) = ty else { continue };
                    *slot = to_val(crate::random::answer(*ty, number, at, &args));
                }
                caller.data_mut().calls.push((number, args));
                Ok(())
            });
            self.linker.define(import.module(), import.name(), func).expect("shadowing is allowed");
        }
        Ok(())
    }
}

impl Machine for Interpreted {
    fn name(&self) -> &'static str {
        "wasmi"
    }

    fn accepts(&self, module: &[u8]) -> Result<(), String> {
        Module::new(self.store.engine(), module).map(drop).map_err(|e| e.to_string())
    }

    fn instantiate(&mut self, module: &[u8]) -> Result<Instance, Failure> {
        let module = Module::new(self.store.engine(), module).map_err(|e| Failure::Refused(e.to_string()))?;
        let instance = self.linker.instantiate_and_start(&mut self.store, &module).map_err(|e| match failure(&e) {
            Failure::Other(text) => Failure::Unlinkable(text),
            failure => failure,
        })?;
        self.instances.push(instance);
        Ok(self.instances.len() - 1)
    }

    fn register(&mut self, instance: Instance, name: &str) -> Result<(), String> {
        let instance = self.instances[instance];
        self.linker.instance(&mut self.store, name, instance).map(drop).map_err(|e| e.to_string())
    }

    fn exports(&mut self, instance: Instance) -> Vec<(String, Export)> {
        let types = |types: &[ValType]| types.iter().map(|t| from_type(*t)).collect::<Option<Vec<_>>>();
        let mut exports: Vec<_> = self.instances[instance]
            .exports(&self.store)
            .map(|export| {
                let name = export.name().to_owned();
                let kind = match export.into_extern() {
                    Extern::Func(func) => {
                        let ty = func.ty(&self.store);
                        Export::Func(types(ty.params()).zip(types(ty.results())))
                    }
                    Extern::Global(_) => Export::Global,
                    Extern::Memory(_) => Export::Memory,
                    Extern::Table(table) => Export::Table(table.size(&self.store)),
                };
                (name, kind)
            })
            .collect();
        exports.sort_by(|(left, _), (right, _)| left.cmp(right));
        exports
    }

    fn call(&mut self, instance: Instance, export: &str, args: &[Value]) -> Result<Vec<Option<Value>>, Failure> {
        let func = self.instances[instance]
            .get_func(&self.store, export)
            .ok_or_else(|| Failure::Other(format!("no function {export}")))?;
        let args: Vec<_> = args.iter().map(|v| to_val(*v)).collect();
        let mut results: Vec<_> = func.ty(&self.store).results().iter().map(|t| Val::default_for_ty(*t)).collect();
        func.call(&mut self.store, &args, &mut results).map_err(|e| failure(&e))?;
        Ok(results.iter().map(from_val).collect())
    }

    fn global(&mut self, instance: Instance, export: &str) -> Option<Value> {
        let global = self.instances[instance].get_global(&self.store, export)?;
        from_val(&global.get(&self.store))
    }

    fn memory(&mut self, instance: Instance, export: &str) -> Option<Vec<u8>> {
        let memory = self.instances[instance].get_memory(&self.store, export)?;
        Some(memory.data(&self.store).to_vec())
    }

    fn set_fuel(&mut self, fuel: u64) {
        self.store.set_fuel(fuel).unwrap();
    }

    fn fuel(&self) -> u64 {
        self.store.get_fuel().unwrap()
    }

    fn host_calls(&mut self) -> Vec<(usize, Vec<Value>)> {
        std::mem::take(&mut self.store.data_mut().calls)
    }
}

fn failure(error: &Error) -> Failure {
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) = error.kind() {
        return Failure::Trap(TrapKind::TableOutOfBounds);
    }
    let Some(code) = error.as_trap_code() else {
        return Failure::Other(error.to_string());
    };
    Failure::Trap(match code {
        TrapCode::UnreachableCodeReached => TrapKind::Unreachable,
        TrapCode::MemoryOutOfBounds => TrapKind::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds => TrapKind::TableOutOfBounds,
        TrapCode::IndirectCallToNull => TrapKind::IndirectCallToNull,
        TrapCode::BadSignature => TrapKind::BadSignature,
        TrapCode::IntegerDivisionByZero => TrapKind::DivisionByZero,
        TrapCode::IntegerOverflow => TrapKind::IntegerOverflow,
        TrapCode::BadConversionToInteger => TrapKind::BadConversion,
        TrapCode::StackOverflow => return Failure::StackExhausted,
        TrapCode::OutOfFuel => return Failure::OutOfFuel,
        TrapCode::GrowthOperationLimited | TrapCode::OutOfSystemMemory => return Failure::Other(error.to_string()),
    })
}

fn to_type(ty: Type) -> ValType {
    match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
        Type::F32 => ValType::F32,
        Type::F64 => ValType::F64,
    }
}

fn from_type(ty: ValType) -> Option<Type> {
    Some(match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 | ValType::FuncRef | ValType::ExternRef => return None,
    })
}

fn to_val(value: Value) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits.cast_signed()),
        Value::I64(bits) => Val::I64(bits.cast_signed()),
        Value::F32(bits) => Val::F32(wasmi::F32::from_bits(bits)),
        Value::F64(bits) => Val::F64(wasmi::F64::from_bits(bits)),
    }
}

fn from_val(value: &Val) -> Option<Value> {
    Some(match value {
        Val::I32(v) => Value::I32(v.cast_unsigned()),
        Val::I64(v) => Value::I64(v.cast_unsigned()),
        Val::F32(v) => Value::F32(v.to_bits()),
        Val::F64(v) => Value::F64(v.to_bits()),
        Val::V128(_) | Val::FuncRef(_) | Val::ExternRef(_) => return None,
    })
}

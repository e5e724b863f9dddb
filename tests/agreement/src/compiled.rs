//! Wasmtime, with the settings of the A core's engine.

use std::sync::LazyLock;

use coracle_engine::Backend;
use coracle_lifecycle::TrapKind;
use wasmtime::{
    Config, Engine, Error, Extern, ExternType, Func, FuncType, Global, GlobalType, HeapType, Linker, Memory,
    MemoryType, Module, Mutability, Ref, RefType, Store, StoreLimits, StoreLimitsBuilder, Table, TableType, Trap, Val,
    ValType,
};

use crate::{Export, FUEL, Failure, Instance, Limits, Machine, Type, Value};

/// Setting an engine up is the expensive part, so all stores share them.
static NATIVE: LazyLock<Engine> = LazyLock::new(|| engine(Backend::Native));
static PULLEY: LazyLock<Engine> = LazyLock::new(|| engine(Backend::Pulley));

fn engine(backend: Backend) -> Engine {
    Engine::new(&coracle_engine::config(backend).unwrap()).unwrap()
}

struct Host {
    limits: StoreLimits,
    calls: Vec<(usize, Vec<Value>)>,
}

/// A Wasmtime store.
pub struct Compiled {
    name: &'static str,
    store: Store<Host>,
    linker: Linker<Host>,
    /// With the names of their exports, sorted.
    instances: Vec<(wasmtime::Instance, Vec<String>)>,
}

impl Compiled {
    /// A store with the engine's settings.
    pub fn new(backend: Backend, limits: Limits) -> Self {
        match backend {
            Backend::Native => Self::with_engine(&NATIVE, "Wasmtime", limits),
            Backend::Pulley => Self::with_engine(&PULLEY, "Pulley", limits),
        }
    }

    /// A store with these settings.
    pub fn with_config(config: &Config, name: &'static str, limits: Limits) -> Self {
        Self::with_engine(&Engine::new(config).unwrap(), name, limits)
    }

    fn with_engine(engine: &Engine, name: &'static str, limits: Limits) -> Self {
        let limits =
            StoreLimitsBuilder::new().memory_size(limits.memory_bytes).table_elements(limits.table_elements).build();
        let mut store = Store::new(engine, Host { limits, calls: Vec::new() });
        store.limiter(|host| &mut host.limits);
        store.set_fuel(FUEL).unwrap();
        let mut linker = Linker::new(engine);
        linker.allow_shadowing(true);
        Self { name, store, linker, instances: Vec::new() }
    }

    /// The imports that the official tests use under the module name `spectest`.
    pub fn define_spectest(&mut self) {
        let engine = self.store.engine().clone();
        for (name, params) in crate::script::PRINTS {
            let params: Vec<_> = params.iter().map(|t| to_type(*t)).collect();
            self.linker
                .func_new("spectest", name, FuncType::new(&engine, params, []), |_, _, _| Ok(()))
                .expect("the name is free");
        }
        let int = crate::script::GLOBAL_INT;
        let float = crate::script::GLOBAL_FLOAT;
        let globals = [
            ("global_i32", ValType::I32, Val::I32(int)),
            ("global_i64", ValType::I64, Val::I64(int.into())),
            ("global_f32", ValType::F32, Val::F32((float as f32).to_bits())),
            ("global_f64", ValType::F64, Val::F64(float.to_bits())),
        ];
        for (name, ty, value) in globals {
            let ty = GlobalType::new(ty, Mutability::Const);
            let global = Global::new(&mut self.store, ty, value).unwrap();
            self.linker.define(&self.store, "spectest", name, global).expect("the name is free");
        }
        let table = TableType::new(RefType::new(true, HeapType::Func), 10, Some(20));
        let table = Table::new(&mut self.store, table, Ref::Func(None)).unwrap();
        self.linker.define(&self.store, "spectest", "table", table).expect("the name is free");
        let memory = Memory::new(&mut self.store, MemoryType::new(1, Some(2))).unwrap();
        self.linker.define(&self.store, "spectest", "memory", memory).expect("the name is free");
    }

    /// Imports of any name and type: functions record their arguments and return numbers that follow from them.
    pub fn define_imports(&mut self, module: &[u8]) -> Result<(), Failure> {
        let module =
            Module::from_binary(self.store.engine(), module).map_err(|e| Failure::Refused(format!("{e:#}")))?;
        for (number, import) in module.imports().enumerate() {
            let ExternType::Func(ty) = import.ty() else { continue };
            let results: Vec<_> = ty.results().map(|t| from_type(&t)).collect();
            let func = Func::new(&mut self.store, ty, move |mut caller, params, out| {
                let args: Vec<_> = params.iter().filter_map(from_val).collect();
                for (at, (slot, ty)) in out.iter_mut().zip(&results).enumerate() {
                    let Some(ty) = ty else { continue };
                    *slot = to_val(crate::random::answer(*ty, number, at, &args));
                }
                caller.data_mut().calls.push((number, args));
                Ok(())
            });
            self.linker.define(&self.store, import.module(), import.name(), func).expect("shadowing is allowed");
        }
        Ok(())
    }
}

impl Machine for Compiled {
    fn name(&self) -> &'static str {
        self.name
    }

    fn accepts(&self, module: &[u8]) -> Result<(), String> {
        Module::validate(self.store.engine(), module).map_err(|e| format!("{e:#}"))
    }

    fn instantiate(&mut self, module: &[u8]) -> Result<Instance, Failure> {
        let module =
            Module::from_binary(self.store.engine(), module).map_err(|e| Failure::Refused(format!("{e:#}")))?;
        let instance = self.linker.instantiate(&mut self.store, &module).map_err(|e| match failure(&e) {
            Failure::Other(text) => Failure::Unlinkable(text),
            failure => failure,
        })?;
        let mut exports: Vec<_> = module.exports().map(|e| e.name().to_owned()).collect();
        exports.sort();
        self.instances.push((instance, exports));
        Ok(self.instances.len() - 1)
    }

    fn register(&mut self, instance: Instance, name: &str) -> Result<(), String> {
        let instance = self.instances[instance].0;
        self.linker.instance(&mut self.store, name, instance).map(drop).map_err(|e| format!("{e:#}"))
    }

    fn exports(&mut self, instance: Instance) -> Vec<(String, Export)> {
        let (instance, names) = self.instances[instance].clone();
        names
            .into_iter()
            .map(|name| {
                let kind = match instance.get_export(&mut self.store, &name).unwrap() {
                    Extern::Func(func) => {
                        let ty = func.ty(&self.store);
                        let params = ty.params().map(|t| from_type(&t)).collect::<Option<Vec<_>>>();
                        Export::Func(params.zip(ty.results().map(|t| from_type(&t)).collect()))
                    }
                    Extern::Global(_) => Export::Global,
                    Extern::Memory(_) | Extern::SharedMemory(_) => Export::Memory,
                    Extern::Table(table) => Export::Table(table.size(&self.store)),
                    Extern::Tag(_) => panic!("tags are off"),
                };
                (name, kind)
            })
            .collect()
    }

    fn call(&mut self, instance: Instance, export: &str, args: &[Value]) -> Result<Vec<Option<Value>>, Failure> {
        let func = self.instances[instance]
            .0
            .get_func(&mut self.store, export)
            .ok_or_else(|| Failure::Other(format!("no function {export}")))?;
        let args: Vec<_> = args.iter().map(|v| to_val(*v)).collect();
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        func.call(&mut self.store, &args, &mut results).map_err(|e| failure(&e))?;
        Ok(results.iter().map(from_val).collect())
    }

    fn global(&mut self, instance: Instance, export: &str) -> Option<Value> {
        let global = self.instances[instance].0.get_global(&mut self.store, export)?;
        from_val(&global.get(&mut self.store))
    }

    fn memory(&mut self, instance: Instance, export: &str) -> Option<Vec<u8>> {
        let memory = self.instances[instance].0.get_memory(&mut self.store, export)?;
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
    let Some(trap) = error.downcast_ref::<Trap>() else {
        return Failure::Other(format!("{error:#}"));
    };
    Failure::Trap(match trap {
        Trap::UnreachableCodeReached => TrapKind::Unreachable,
        Trap::MemoryOutOfBounds => TrapKind::MemoryOutOfBounds,
        Trap::TableOutOfBounds => TrapKind::TableOutOfBounds,
        Trap::IndirectCallToNull => TrapKind::IndirectCallToNull,
        Trap::BadSignature => TrapKind::BadSignature,
        Trap::IntegerDivisionByZero => TrapKind::DivisionByZero,
        Trap::IntegerOverflow => TrapKind::IntegerOverflow,
        Trap::BadConversionToInteger => TrapKind::BadConversion,
        Trap::StackOverflow => return Failure::StackExhausted,
        Trap::OutOfFuel => return Failure::OutOfFuel,
        other => return Failure::Other(other.to_string()),
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

fn from_type(ty: &ValType) -> Option<Type> {
    Some(match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 | ValType::Ref(_) => return None,
    })
}

fn to_val(value: Value) -> Val {
    match value {
        Value::I32(bits) => Val::I32(bits.cast_signed()),
        Value::I64(bits) => Val::I64(bits.cast_signed()),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
    }
}

fn from_val(value: &Val) -> Option<Value> {
    Some(match value {
        Val::I32(v) => Value::I32(v.cast_unsigned()),
        Val::I64(v) => Value::I64(v.cast_unsigned()),
        Val::F32(bits) => Value::F32(*bits),
        Val::F64(bits) => Value::F64(*bits),
        _ => return None,
    })
}

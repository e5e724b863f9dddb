//! Replaces sequences of instructions that an engine gets wrong by equal ones that it gets right.
//!
//! Two are known, both of wasmi 2.0.0.
//! - It merges a `select` with the comparison to zero that makes its condition; when the compared value is a local, it
//!   then decides by a register that has nothing to do with it. A comparison in between prevents that: a condition `c`
//!   becomes `c > 0`, unsigned, which is true for the same `c`.
//! - Where a block with parameters begins, it saves the locals that wait below them on the stack, but misses as many as
//!   there are parameters that are no locals themselves. So the parameters go through locals.

use std::convert::Infallible;

use wasm_encoder::{
    CodeSection, Instruction,
    reencode::{self, Reencode},
};
use wasmparser::{BlockType, FunctionBody, Operator, ValType};

use crate::read::Module;

/// Encodes everything as it is, but for the sequences above.
pub(crate) struct Mender<'m, 'a> {
    module: &'m Module<'a>,
    /// Index of the function whose body comes next.
    function: u32,
}

impl<'m, 'a> Mender<'m, 'a> {
    /// For encoding `module`, whose bodies must come in their order.
    pub(crate) fn new(module: &'m Module<'a>) -> Self {
        Self { module, function: module.imported_functions }
    }

    /// The values that a block takes from the stack, the condition of an `if` as the last one; none for what is no
    /// block with parameters.
    fn block_values(&self, operator: &Operator<'_>) -> Vec<ValType> {
        let (ty, condition) = match operator {
            Operator::Block { blockty } | Operator::Loop { blockty } => (blockty, None),
            Operator::If { blockty } => (blockty, Some(ValType::I32)),
            _ => return Vec::new(),
        };
        let BlockType::FuncType(ty) = ty else { return Vec::new() };
        match self.module.func_type(*ty).map(|ty| ty.params()) {
            None | Some([]) => Vec::new(),
            Some(params) => params.iter().copied().chain(condition).collect(),
        }
    }
}

impl Reencode for Mender<'_, '_> {
    type Error = Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        let params = self.module.type_of(self.function).map_or(0, |ty| ty.params().len());
        self.function = self.function.saturating_add(1);
        let mut locals = Vec::new();
        let mut next_local = u32::try_from(params).unwrap_or(u32::MAX);
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            locals.push((count, self.val_type(ty)?));
            next_local = next_local.saturating_add(count);
        }
        let mut spare = Spare { first: next_local, types: Vec::new() };
        let mut instructions = Vec::new();
        let mut reader = body.get_operators_reader()?;
        let mut condition = Condition::Sound;
        // How many operators in a row, the last one included, only push a local.
        let mut pushed_locals = 0_usize;
        while !reader.eof() {
            let operator = reader.read()?;
            if matches!(operator, Operator::Select) && condition == Condition::Merged {
                instructions.extend([Instruction::I32Const(0), Instruction::I32GtU]);
            }
            let values = self.block_values(&operator);
            if values.len() > pushed_locals {
                let through = spare.locals(&values);
                instructions.extend(through.iter().rev().map(|local| Instruction::LocalSet(*local)));
                instructions.extend(through.iter().map(|local| Instruction::LocalGet(*local)));
            }
            condition = condition.after(&operator);
            pushed_locals =
                if matches!(operator, Operator::LocalGet { .. }) { pushed_locals.saturating_add(1) } else { 0 };
            instructions.push(self.instruction(operator)?);
        }
        for ty in spare.types {
            locals.push((1, self.val_type(ty)?));
        }
        let mut function = wasm_encoder::Function::new(locals);
        for instruction in &instructions {
            function.instruction(instruction);
        }
        code.function(&function);
        Ok(())
    }
}

/// Locals that are added to a function. Each is written and read at once, so all blocks share them.
struct Spare {
    first: u32,
    types: Vec<ValType>,
}

impl Spare {
    /// A local for each of `values`.
    fn locals(&mut self, values: &[ValType]) -> Vec<u32> {
        let mut taken = vec![false; self.types.len()];
        let mut locals = Vec::new();
        for value in values {
            let free = self.types.iter().zip(&taken).position(|(ty, taken)| ty == value && !taken);
            let at = free.unwrap_or_else(|| {
                self.types.push(*value);
                taken.push(false);
                self.types.len() - 1
            });
            if let Some(taken) = taken.get_mut(at) {
                *taken = true;
            }
            locals.push(self.first.saturating_add(u32::try_from(at).unwrap_or(u32::MAX)));
        }
        locals
    }
}

/// What wasmi would make of a `select` that came now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// No comparison to zero is near.
    Sound,
    /// One is near, but the value on top of the stack is not its result.
    Covered,
    /// It may merge the two.
    Merged,
}

impl Condition {
    fn after(self, operator: &Operator<'_>) -> Self {
        match operator {
            Operator::I32Eqz | Operator::I32Eq | Operator::I32Ne => Self::Merged,
            // These are always translated to something, which then stands between the comparison and the `select`.
            Operator::GlobalGet { .. }
            | Operator::GlobalSet { .. }
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::I32Load { .. }
            | Operator::I64Load { .. }
            | Operator::I32Load8U { .. }
            | Operator::I32Load8S { .. }
            | Operator::I32Load16U { .. }
            | Operator::I32Load16S { .. }
            | Operator::I32Store { .. }
            | Operator::I64Store { .. }
            | Operator::I32Store8 { .. }
            | Operator::I32Store16 { .. } => Self::Sound,
            _ if self == Self::Sound => Self::Sound,
            Operator::LocalGet { .. }
            | Operator::I32LtS
            | Operator::I32LtU
            | Operator::I32GtS
            | Operator::I32GtU
            | Operator::I32LeS
            | Operator::I32LeU
            | Operator::I32GeS
            | Operator::I32GeU
            | Operator::I64LtS
            | Operator::I64LtU
            | Operator::I64GtS
            | Operator::I64GtU
            | Operator::I64LeS
            | Operator::I64LeU
            | Operator::I64GeS
            | Operator::I64GeU
            | Operator::F32Lt
            | Operator::F32Gt
            | Operator::F32Le
            | Operator::F32Ge
            | Operator::F64Lt
            | Operator::F64Gt
            | Operator::F64Le
            | Operator::F64Ge => Self::Covered,
            // Many others may be folded away, so that the comparison is near again.
            _ => Self::Merged,
        }
    }
}

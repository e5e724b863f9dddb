//! Replaces sequences of instructions that an engine gets wrong by equal ones that it gets right.
//!
//! Two are known, both of wasmi 2.0.0.
//! - It merges a `select` with the comparison to zero that makes its condition; when the compared value is a local, it
//!   then decides by a register that has nothing to do with it. A comparison in between prevents that: a condition `c`
//!   becomes `c > 0`, unsigned, which is true for the same `c`.
//! - Where a block with parameters begins, it saves the locals that wait on the stack below them, but may miss some,
//!   which are then lost. An empty block before saves them all, and costs nothing.

use std::convert::Infallible;

use wasm_encoder::{
    CodeSection, Instruction,
    reencode::{self, Reencode},
};
use wasmparser::{BlockType, FunctionBody, Operator};

use crate::read::Module;

/// Encodes everything as it is, but for the sequences above.
pub(crate) struct Mender<'m, 'a> {
    module: &'m Module<'a>,
}

impl<'m, 'a> Mender<'m, 'a> {
    /// For encoding `module`.
    pub(crate) fn new(module: &'m Module<'a>) -> Self {
        Self { module }
    }

    /// Whether a block with parameters begins.
    fn takes_parameters(&self, operator: &Operator<'_>) -> bool {
        match operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => match blockty {
                BlockType::FuncType(ty) => self.module.func_type(*ty).is_some_and(|ty| !ty.params().is_empty()),
                BlockType::Empty | BlockType::Type(_) => false,
            },
            _ => false,
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
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        let mut condition = Condition::Sound;
        let mut before = Before::Other;
        while !reader.eof() {
            let operator = reader.read()?;
            if matches!(operator, Operator::Select) && condition == Condition::Merged {
                function.instruction(&Instruction::I32Const(0)).instruction(&Instruction::I32GtU);
            }
            if self.takes_parameters(&operator) && before != Before::EmptyBlock {
                function
                    .instruction(&Instruction::Block(wasm_encoder::BlockType::Empty))
                    .instruction(&Instruction::End);
            }
            condition = condition.after(&operator);
            before = before.after(&operator);
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}

/// What the last operators were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Other,
    /// The begin of a block without parameters and results.
    Block,
    /// Such a block with nothing in it.
    EmptyBlock,
}

impl Before {
    fn after(self, operator: &Operator<'_>) -> Self {
        match operator {
            Operator::Block { blockty: BlockType::Empty } => Self::Block,
            Operator::End if self == Self::Block => Self::EmptyBlock,
            _ => Self::Other,
        }
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

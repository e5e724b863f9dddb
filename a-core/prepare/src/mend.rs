//! Replaces sequences of instructions that an engine gets wrong by equal ones that it gets right.
//!
//! One is known. wasmi 2.0.0 merges a `select` with the comparison to zero that makes its condition; when the compared
//! value is a local, it then decides by a register that has nothing to do with it. The merging is prevented by a
//! comparison in between: a condition `c` becomes `c > 0`, unsigned, which is true for the same `c`.

use std::convert::Infallible;

use wasm_encoder::{
    CodeSection, Instruction,
    reencode::{self, Reencode},
};
use wasmparser::{FunctionBody, Operator};

/// Encodes everything as it is, but for the sequences above.
pub(crate) struct Mender;

impl Reencode for Mender {
    type Error = Infallible;

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error<Infallible>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        let mut condition = Condition::Sound;
        while !reader.eof() {
            let operator = reader.read()?;
            if matches!(operator, Operator::Select) && condition == Condition::Merged {
                function.instruction(&Instruction::I32Const(0)).instruction(&Instruction::I32GtU);
            }
            condition = condition.after(&operator);
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
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

//! `guests/c/include/coracle.h`, and reading the declarations in a header back.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use coracle_guest_abi::{
    BLOCK_SAMPLES_MAX, CONFIG_VALUE_BYTES_MAX, EventKind, LOG_BYTES_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX,
    Type as Number, WAKE_BYTES_MAX,
};

use crate::wit::{Case, Field, Function, Interface, Package, Record, Scalar, Type};

/// Characters in a line of the header.
const LINE_MAX: usize = 120;

const HEAD: &str = r#"/*
 * The guest interface of Coracle for C: every import beside those of WASI (coracle_wasi.h).
 *
 * Made from shared-ipc/guest-abi/wit/coracle.wit by `cargo xtask bless`; do not edit.
 *
 * A function gives 0 or more for success (a number, a handle, the whole length of what was written, also if it did not
 * fit), less for a negated `enum coracle_errno`, whose numbers are those of Linux. Buffers are the caller's. A function
 * that may park stops this container until it has its result, and nothing else.
 *
 * A guest exports either `init` and `on_event`, or `_start`:
 *
 *     CORACLE_EXPORT("init") int32_t init(void);
 *     CORACLE_EXPORT("on_event") int32_t on_event(int32_t kind, int32_t source, int32_t len);
 *     CORACLE_EXPORT("_start") void _start(void);
 */
#ifndef CORACLE_H
#define CORACLE_H

#include <stddef.h>
#include <stdint.h>

#define CORACLE_EXPORT(name) __attribute__((export_name(name)))
#define CORACLE_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

/* Writes a string literal to the log. */
#define CORACLE_LOG(level, literal) coracle_log_write((level), (literal), sizeof(literal) - 1)

#define CORACLE_FOR_EVER ((int64_t)-1)
"#;

/// Makes the header.
///
/// # Errors
/// A form of type or function for which there is no rendering.
pub fn render(interface: &Interface) -> Result<String> {
    let mut out = HEAD.to_owned();
    for (name, comment, value) in [
        ("NAME_BYTES_MAX", "Longest name of a container, topic, sensor, pin, bus or reason.", NAME_BYTES_MAX),
        ("CONFIG_VALUE_BYTES_MAX", "Longest configuration value.", CONFIG_VALUE_BYTES_MAX),
        ("MESSAGE_BYTES_MAX", "Longest payload of a message, and longest bus transfer.", MESSAGE_BYTES_MAX),
        ("WAKE_BYTES_MAX", "Longest payload of a wake.", WAKE_BYTES_MAX),
        ("LOG_BYTES_MAX", "Longest log line.", LOG_BYTES_MAX),
        ("BLOCK_SAMPLES_MAX", "Most samples in a sensor block.", BLOCK_SAMPLES_MAX),
    ] {
        write!(out, "\n/* {comment} */\n#define CORACLE_{name} {value}\n")?;
    }
    out.push_str("\n/* Results, negated. */\nenum coracle_errno {\n");
    for case in &interface.errno {
        let (number, meaning) = errno(case)?;
        writeln!(out, "    CORACLE_{} = {number}, /* {meaning} */", constant(&case.name))?;
    }
    out.push_str("};\n\n/* What `kind` of an event is. */\nenum coracle_event_kind {\n");
    for kind in EventKind::ALL {
        writeln!(out, "    CORACLE_EVENT_{} = {},", format!("{kind:?}").to_uppercase(), kind as u8)?;
    }
    out.push_str("};\n");
    for package in &interface.packages {
        render_package(&mut out, package).with_context(|| package.module.clone())?;
    }
    out.push_str("\n#endif\n");
    Ok(out)
}

/// Number and meaning of an error.
///
/// # Errors
/// A comment that does not start with the number.
pub fn errno(case: &Case) -> Result<(i32, &str)> {
    let (number, meaning) = case.docs.split_once(": ").context("the comment of an errno is `number: meaning`")?;
    Ok((number.parse().with_context(|| format!("{number} is no number"))?, meaning.trim_end_matches('.')))
}

fn render_package(out: &mut String, package: &Package) -> Result<()> {
    write!(out, "\n/* {} */\n", package.module)?;
    for (name, _, cases) in &package.enums {
        writeln!(out, "\nenum coracle_{} {{", identifier(name))?;
        for (case, number) in cases.iter().zip(1..) {
            writeln!(out, "    CORACLE_{}_{} = {number},", constant(&package.name), constant(&case.name))?;
        }
        out.push_str("};\n");
    }
    for record in package.records.iter().filter(|r| is_flat(r)) {
        render_record(out, record)?;
    }
    for function in &package.functions {
        comment(out, &function.docs, "");
        let result = match (&function.result, function.fallible) {
            (Some(Type::Scalar(Scalar::U(64) | Scalar::S(64))), true) => "int64_t",
            (Some(Type::Scalar(scalar)), false) => c_scalar(*scalar),
            (_, true) => "int32_t",
            (other, false) => bail!("{} gives {other:?}", function.name),
        };
        let parameters = parameters(function)?;
        let name = function.import_name();
        let head = format!("{result} coracle_{}_{name}(", package.name);
        writeln!(out, "CORACLE_IMPORT(\"{}\", \"{name}\")\n{head}{});", package.module, wrapped(&head, &parameters))?;
    }
    Ok(())
}

fn parameters(function: &Function) -> Result<Vec<String>> {
    let mut list = Vec::new();
    for parameter in &function.parameters {
        let name = identifier(&parameter.name);
        match &parameter.ty {
            Type::Scalar(scalar) => list.push(format!("{} {name}", c_scalar(*scalar))),
            Type::Enum(ty) => list.push(format!("enum coracle_{} {name}", identifier(ty))),
            Type::String => list.extend([format!("const char *{name}"), format!("size_t {name}_len")]),
            Type::List(Scalar::U(8)) => list.extend([format!("const void *{name}"), format!("size_t {name}_len")]),
            other => bail!("parameter {name} is {other:?}"),
        }
    }
    match &function.result {
        None | Some(Type::Scalar(_)) => {}
        Some(Type::String) => list.extend(["char *buffer".into(), "size_t buffer_size".into()]),
        Some(Type::List(Scalar::U(8))) => list.extend(["void *buffer".into(), "size_t buffer_size".into()]),
        Some(Type::Record(record)) if is_flat(record) => list.push(pointer(record)),
        Some(Type::Record(record)) => {
            for Field { name, ty, .. } in &record.fields {
                let name = identifier(name);
                match ty {
                    Type::Record(inner) if is_flat(inner) => list.push(pointer(inner)),
                    Type::List(scalar) => {
                        list.extend([format!("{} *{name}", c_scalar(*scalar)), format!("size_t {name}_max")]);
                    }
                    other => bail!("field {name} is {other:?}"),
                }
            }
        }
        Some(other) => bail!("the result is {other:?}"),
    }
    Ok(list)
}

/// A list of parameters behind `head`, in lines of at most [`LINE_MAX`] characters.
fn wrapped(head: &str, parameters: &[String]) -> String {
    if parameters.is_empty() {
        return "void".to_owned();
    }
    let (mut out, mut column) = (String::new(), head.len());
    for (n, parameter) in parameters.iter().enumerate() {
        // Room for a comma, or for the end.
        if n > 0 && column + parameter.len() + 4 > LINE_MAX {
            out.push_str(&format!(",\n{:width$}", "", width = head.len()));
            column = head.len();
        } else if n > 0 {
            out.push_str(", ");
            column += 2;
        }
        out.push_str(parameter);
        column += parameter.len();
    }
    out
}

/// The parameter behind which the record is written.
fn pointer(record: &Record) -> String {
    format!("{} *{}", c_record(record), identifier(&record.name))
}

fn is_flat(record: &Record) -> bool {
    record.fields.iter().all(|field| matches!(field.ty, Type::Scalar(_)))
}

fn render_record(out: &mut String, record: &Record) -> Result<()> {
    comment(out, &record.docs, "");
    if record.docs.is_empty() {
        out.push('\n');
    }
    writeln!(out, "{} {{", c_record(record))?;
    let mut offset = 0;
    for field in &record.fields {
        let Type::Scalar(scalar) = &field.ty else { bail!("field {} is no number", field.name) };
        comment(out, &field.docs, "    ");
        writeln!(out, "    {} {};", c_scalar(*scalar), identifier(&field.name))?;
        let bytes = bytes(*scalar);
        if offset % bytes != 0 {
            bail!("C would leave a gap before {}", field.name);
        }
        offset += bytes;
    }
    let text = format!("{} has no gaps", c_record(record));
    writeln!(out, "}};\n_Static_assert(sizeof({}) == {offset}, \"{text}\");", c_record(record))?;
    Ok(())
}

fn c_record(record: &Record) -> String {
    let name = identifier(&record.name);
    if record.name == record.package || record.name.starts_with(&format!("{}-", record.package)) {
        format!("struct coracle_{name}")
    } else {
        format!("struct coracle_{}_{name}", record.package)
    }
}

fn c_scalar(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::U(8) => "uint8_t",
        Scalar::U(16) => "uint16_t",
        Scalar::U(32) => "uint32_t",
        Scalar::U(_) => "uint64_t",
        Scalar::S(8) => "int8_t",
        Scalar::S(16) => "int16_t",
        Scalar::S(32) => "int32_t",
        Scalar::S(_) => "int64_t",
    }
}

fn bytes(scalar: Scalar) -> usize {
    match scalar {
        Scalar::U(bits) | Scalar::S(bits) => usize::from(bits / 8),
    }
}

fn comment(out: &mut String, text: &str, indent: &str) {
    let mut lines = text.lines();
    let Some(first) = lines.next() else { return };
    if indent.is_empty() {
        out.push('\n');
    }
    out.push_str(&format!("{indent}/* {first}"));
    for line in lines {
        out.push_str(&format!("\n{indent} * {line}"));
    }
    out.push_str(" */\n");
}

fn identifier(name: &str) -> String {
    name.replace('-', "_")
}

fn constant(name: &str) -> String {
    identifier(name).to_uppercase()
}

/// A declaration of an import in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Import module name.
    pub module: String,
    /// Import field name.
    pub name: String,
    /// What crosses for its parameters.
    pub params: Vec<Number>,
    /// What crosses for its result.
    pub result: Option<Number>,
}

/// The imports that `header` declares: `CORACLE_IMPORT(module, name)`, then the prototype up to a semicolon.
///
/// # Errors
/// A declaration of another form.
pub fn declarations(header: &str) -> Result<Vec<Declaration>> {
    let code = header.lines().filter(|line| !line.starts_with("#define"));
    let code: String = code.map(|line| format!("{line}\n")).collect();
    code.split("CORACLE_IMPORT(")
        .skip(1)
        .map(|text| {
            let (names, rest) = text.split_once(')').context("no `)` behind CORACLE_IMPORT")?;
            let names: Vec<&str> = names.split(',').map(|name| name.trim().trim_matches('"')).collect();
            let [module, name] = names[..] else { bail!("CORACLE_IMPORT{names:?} does not name module and import") };
            let (prototype, _) = rest.split_once(';').with_context(|| format!("{name}: no `;`"))?;
            let (head, list) = prototype.split_once('(').with_context(|| format!("{name}: no prototype"))?;
            let params = list.trim().trim_end_matches(')').split(',').map(str::trim);
            let params = params.filter(|parameter| *parameter != "void").map(number).collect();
            let result = if head.trim_start().starts_with("void ") { None } else { Some(number(head)) };
            Ok(Declaration { module: module.to_owned(), name: name.to_owned(), params, result })
        })
        .collect()
}

/// What crosses for a C type with its name.
fn number(declared: &str) -> Number {
    if declared.contains("int64_t") && !declared.contains('*') { Number::I64 } else { Number::I32 }
}

//! The specification as plain data, with only what it uses of WIT; anything else is an error.

use anyhow::{Context as _, Result, bail};
use wit_parser::{Docs, InterfaceId, Resolve, Type as WitType, TypeDefKind, TypeId, TypeOwner};

/// The whole interface.
#[derive(Debug, Clone)]
pub struct Interface {
    /// The packages with functions, in the order of the text.
    pub packages: Vec<Package>,
    /// The error numbers: name and meaning, the number in front of it.
    pub errno: Vec<Case>,
}

/// A package, which is one import module.
#[derive(Debug, Clone)]
pub struct Package {
    /// Name without namespace and version: `log`.
    pub name: String,
    /// Name of the import module: `coracle:log@1`.
    pub module: String,
    /// Its enumerations beside the error numbers: name, meaning, cases.
    pub enums: Vec<(String, String, Vec<Case>)>,
    /// Its records.
    pub records: Vec<Record>,
    /// Its functions.
    pub functions: Vec<Function>,
}

/// A case of an enumeration.
#[derive(Debug, Clone)]
pub struct Case {
    /// Name, in kebab case.
    pub name: String,
    /// Its comment.
    pub docs: String,
}

/// A record.
#[derive(Debug, Clone)]
pub struct Record {
    /// Name of its package.
    pub package: String,
    /// Name, in kebab case.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// A field of a record.
#[derive(Debug, Clone)]
pub struct Field {
    /// Name, in kebab case.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// Its type.
    pub ty: Type,
}

/// A function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Name, in kebab case.
    pub name: String,
    /// Its comment.
    pub docs: String,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
    /// What it gives, or nothing but success.
    pub result: Option<Type>,
    /// Whether it may give an error instead.
    pub fallible: bool,
}

impl Function {
    /// Name of the import.
    #[must_use]
    pub fn import_name(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// A parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Name, in kebab case.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

/// A type.
#[derive(Debug, Clone)]
pub enum Type {
    /// A number.
    Scalar(Scalar),
    /// An enumeration of a package: its name.
    Enum(String),
    /// Text.
    String,
    /// A list of numbers.
    List(Scalar),
    /// A record.
    Record(Box<Record>),
}

/// A number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// Unsigned, of that many bits.
    U(u8),
    /// Signed, of that many bits.
    S(u8),
}

impl Interface {
    /// Reads the text of the specification.
    ///
    /// # Errors
    /// What is no WIT, or more of WIT than the interface uses.
    pub fn parse(text: &str) -> Result<Self> {
        let mut resolve = Resolve::default();
        // The text holds packages only; a file is one itself.
        let source = format!("package coracle:guest@1.0.0;\n{text}");
        resolve.push_source("coracle.wit", &source).context("the specification is no WIT")?;
        let (mut packages, mut errno) = (Vec::new(), Vec::new());
        let mut interfaces: Vec<InterfaceId> = resolve.interfaces.iter().map(|(id, _)| id).collect();
        let at = |id: InterfaceId| {
            let name = resolve.interfaces[id].name.clone().unwrap_or_default();
            text.find(&format!("interface {name} {{"))
        };
        interfaces.sort_by_key(|id| at(*id));
        for id in interfaces {
            let interface = &resolve.interfaces[id];
            let name = interface.name.clone().context("an interface without a name")?;
            let package = interface.package.context("an interface without a package")?;
            let package = &resolve.packages[package].name;
            let version = package.version.as_ref().context("a package without a version")?;
            let mut found = Package {
                module: format!("{}:{}@{}", package.namespace, package.name, version.major),
                name,
                enums: Vec::new(),
                records: Vec::new(),
                functions: Vec::new(),
            };
            for (type_name, id) in &interface.types {
                let ty = &resolve.types[*id];
                match &ty.kind {
                    TypeDefKind::Enum(e) => {
                        let cases = e.cases.iter().map(|c| Case { name: c.name.clone(), docs: docs(&c.docs) });
                        if type_name == "errno" {
                            errno = cases.collect();
                        } else {
                            found.enums.push((type_name.clone(), docs(&ty.docs), cases.collect()));
                        }
                    }
                    TypeDefKind::Record(_) => found.records.push(record(&resolve, *id)?),
                    // The names that `use` brings in.
                    TypeDefKind::Type(_) => {}
                    other => bail!("{type_name} is a {}, which the interface does not use", other.as_str()),
                }
            }
            for function in interface.functions.values() {
                found.functions.push(read_function(&resolve, function).with_context(|| function.name.clone())?);
            }
            if !found.functions.is_empty() {
                packages.push(found);
            }
        }
        Ok(Self { packages, errno })
    }
}

/// A comment. Names in it (between backquotes) become those of imports and C, with underscores.
fn docs(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default().trim();
    let pieces = text.split('`').enumerate();
    let pieces = pieces.map(|(n, piece)| if n % 2 == 1 { piece.replace('-', "_") } else { piece.to_owned() });
    pieces.collect::<Vec<_>>().join("`")
}

fn read_function(resolve: &Resolve, function: &wit_parser::Function) -> Result<Function> {
    let parameters = function.params.iter().map(|parameter| {
        let ty = read_type(resolve, &parameter.ty).with_context(|| parameter.name.clone())?;
        Ok(Parameter { name: parameter.name.clone(), ty })
    });
    let (result, fallible) = match function.result {
        Some(WitType::Id(id)) => match &resolve.types[id].kind {
            TypeDefKind::Result(result) => (result.ok, true),
            _ => (function.result, false),
        },
        plain => (plain, false),
    };
    Ok(Function {
        name: function.name.clone(),
        docs: docs(&function.docs),
        parameters: parameters.collect::<Result<_>>()?,
        result: result.map(|ty| read_type(resolve, &ty)).transpose()?,
        fallible,
    })
}

fn read_type(resolve: &Resolve, ty: &WitType) -> Result<Type> {
    Ok(match ty {
        WitType::String => Type::String,
        WitType::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::List(element) => Type::List(scalar(element)?),
            TypeDefKind::Record(_) => Type::Record(Box::new(record(resolve, *id)?)),
            TypeDefKind::Type(other) => read_type(resolve, other)?,
            TypeDefKind::Enum(_) => Type::Enum(resolve.types[*id].name.clone().context("an enumeration needs a name")?),
            other => bail!("a {}, which the interface does not use", other.as_str()),
        },
        number => Type::Scalar(scalar(number)?),
    })
}

fn scalar(ty: &WitType) -> Result<Scalar> {
    Ok(match ty {
        WitType::U8 => Scalar::U(8),
        WitType::U16 => Scalar::U(16),
        WitType::U32 => Scalar::U(32),
        WitType::U64 => Scalar::U(64),
        WitType::S8 => Scalar::S(8),
        WitType::S16 => Scalar::S(16),
        WitType::S32 => Scalar::S(32),
        WitType::S64 => Scalar::S(64),
        other => bail!("{other:?} is no number that crosses"),
    })
}

fn record(resolve: &Resolve, id: TypeId) -> Result<Record> {
    let ty = &resolve.types[id];
    let TypeDefKind::Record(record) = &ty.kind else { bail!("no record") };
    let TypeOwner::Interface(owner) = ty.owner else { bail!("a record outside of an interface") };
    let fields = record.fields.iter().map(|field| {
        Ok(Field { name: field.name.clone(), docs: docs(&field.docs), ty: read_type(resolve, &field.ty)? })
    });
    Ok(Record {
        package: resolve.interfaces[owner].name.clone().context("an interface without a name")?,
        name: ty.name.clone().context("a record without a name")?,
        docs: docs(&ty.docs),
        fields: fields.collect::<Result<_>>()?,
    })
}

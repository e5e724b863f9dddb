//! Whether a manifest grants what a module imports.

use coracle_container::Grants;
use coracle_guest_abi::{GrantKind, find_import};

use crate::Prepared;

/// An import that is not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the module imports {import_module} {import_name}; add `{}` to its grants", grant.key())]
pub struct MissingGrant {
    /// Import module name.
    pub import_module: String,
    /// Import field name.
    pub import_name: String,
    /// The kind of grant that links it: a key of `[container.x.grants]`.
    pub grant: GrantKind,
}

/// Checks that `grants` links everything that `prepared` imports.
///
/// # Errors
/// Every import that is not granted.
pub fn check_grants(prepared: &Prepared, grants: &Grants) -> Result<(), Vec<MissingGrant>> {
    let missing: Vec<MissingGrant> = prepared
        .imports
        .iter()
        .filter_map(|(module, name)| {
            let grant = find_import(module, name)?.grant.filter(|kind| !grants.links(*kind))?;
            Some(MissingGrant { import_module: module.clone(), import_name: name.clone(), grant })
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}

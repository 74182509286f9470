//! The table of a model, to be held against the parameters that come later.

use std::sync::Arc;

use super::{ParamTable, Params};
use crate::error::{Error, Result, check_shape};

/// Which tensors a model has, by name and shape, without their elements.
#[derive(Clone, Debug)]
pub(crate) struct Tensors(pub(super) Arc<ParamTable>);

impl Tensors {
    /// That `params` has these tensors in this order; `what` is what it is called.
    pub(crate) fn check(&self, what: &str, params: &Params) -> Result<()> {
        // Nearly always one table, and to compare all names would take as long as the step of a small model.
        if Arc::ptr_eq(&self.0, &params.table) || self.0.entries == params.table.entries {
            Ok(())
        } else {
            self.first_difference(what, params)
        }
    }

    #[cold]
    #[inline(never)]
    fn first_difference(&self, what: &str, params: &Params) -> Result<()> {
        let (own, other) = (&self.0.entries, &params.table.entries);
        for (own, entry) in own.iter().zip(other) {
            if own.name != entry.name {
                let known = self.0.entries.iter().map(|entry| entry.name.clone()).collect();
                return Err(Error::UnknownParameter { name: entry.name.clone(), known });
            }
            check_shape(&format!("{what}: {}", own.name), &own.shape, &entry.shape)?;
        }
        check_shape(&format!("number of {what}"), &[own.len()], &[other.len()])
    }
}

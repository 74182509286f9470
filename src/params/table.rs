//! The table: which tensors there are, under which names, and where each lies.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::ops::Range;

use crate::error::{Error, Result, elements};
use crate::memory;

/// A tensor's place in the table, as [`ParamTable::add`] gave it.
///
/// ```
/// use elman::params::{ParamTable, Params};
///
/// let mut table = ParamTable::new();
/// let scale = table.add("scale", &[3])?;
/// let mut params = Params::zeros(table);
/// params.get_mut(scale).expect("of this table").fill(2.0);
/// assert_eq!(params.named("scale")?, (&[3][..], &[2.0, 2.0, 2.0][..]));
/// assert_eq!(Params::zeros(ParamTable::new()).get(scale), None);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(pub(super) usize);

/// One tensor of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

/// The table while it is being made: each layer adds its tensors, in PyTorch's order and under PyTorch's names.
///
/// ```
/// use elman::params::ParamTable;
///
/// let mut table = ParamTable::new();
/// table.add("fc.weight", &[1, 8])?;
/// table.add("fc.bias", &[1])?;
/// assert!(table.add("fc.bias", &[1]).is_err(), "a name is taken once");
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ParamTable {
    pub(super) entries: Vec<Entry>,
    /// Where each name stands.
    pub(super) index: HashMap<String, usize>,
}

impl ParamTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor of that shape behind the ones before.
    ///
    /// # Errors
    /// [`Error::Setting`] where the name is taken, [`Error::Overflow`] where all together could not be addressed,
    /// [`Error::Memory`] where there is not as much memory.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize]) -> Result<ParamId> {
        let name = name.into();
        let start = self.len();
        let len = elements(&name, shape)?;
        let end = elements(&name, &[start.saturating_add(len)])?;
        memory::check("parameters", (end as u64).saturating_mul(size_of::<f32>() as u64))?;
        let id = self.entries.len();
        match self.index.entry(name.clone()) {
            Place::Occupied(_) => {
                let got = format_args!("'{name}' twice");
                return Err(Error::setting("parameter name", "one that is not taken", got));
            }
            Place::Vacant(place) => _ = place.insert(id),
        }
        self.entries.push(Entry { name, shape: shape.into(), range: start..end });
        Ok(ParamId(id))
    }

    /// The tensors' names, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &entry.name[..])
    }

    pub(super) fn len(&self) -> usize {
        self.entries.last().map_or(0, |entry| entry.range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ParamTable {
        let mut table = ParamTable::new();
        table.add("a", &[2, 2]).unwrap();
        table.add("b", &[3]).unwrap();
        table
    }

    #[test]
    fn a_name_is_taken_once_and_sizes_may_not_overflow() {
        let mut table = table();
        assert!(table.add("a", &[1]).unwrap_err().to_string().contains("'a' twice"));
        assert!(matches!(table.add("c", &[usize::MAX, 2]), Err(Error::Overflow { .. })));
        assert!(matches!(table.add("c", &[isize::MAX as usize / 4, 1]), Err(Error::Overflow { .. })));
    }

    #[test]
    fn parameters_beyond_the_memory_are_an_error() {
        let mut table = table();
        let error = table.add("weight", &[1 << 30, 1 << 14]).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Memory);
        assert!(error.to_string().starts_with("parameters: needs "), "{error}");
        assert_eq!(table.len(), 7, "nothing was added");
    }
}

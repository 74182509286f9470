//! All parameters of a model in one flat buffer, with a table that says which are whose.
//!
//! Gradients and an optimiser's state are the same shape of thing: one buffer over the same table.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result, check_shape, elements};
use crate::tensor::Buffer;

/// A tensor's place in the table, as [`ParamTable::add`] gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamId(usize);

/// One tensor of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    range: Range<usize>,
}

/// The table while it is being made: each layer adds its tensors, in PyTorch's order and under PyTorch's names.
#[derive(Clone, Debug, Default)]
pub struct ParamTable {
    entries: Vec<Entry>,
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
    /// [`Error::Setting`] where the name is taken, [`Error::Overflow`] where all together could not be addressed.
    pub fn add(&mut self, name: impl Into<String>, shape: &[usize]) -> Result<ParamId> {
        let name = name.into();
        if self.entries.iter().any(|entry| entry.name == name) {
            return Err(Error::setting("parameter name", "one that is not taken", format_args!("'{name}' twice")));
        }
        let start = self.len();
        let len = elements(&name, shape)?;
        elements(&name, &[start.saturating_add(len)])?;
        self.entries.push(Entry { name, shape: shape.into(), range: start..start + len });
        Ok(ParamId(self.entries.len() - 1))
    }

    fn len(&self) -> usize {
        self.entries.last().map_or(0, |entry| entry.range.end)
    }
}

/// Parameters, or gradients: named tensors in one flat buffer.
///
/// ```
/// use elman::{ParamTable, Params};
///
/// let mut table = ParamTable::new();
/// let weight = table.add("linear.weight", &[2, 3])?;
/// let bias = table.add("linear.bias", &[2])?;
/// let mut params = Params::zeros(table);
/// params.get_mut(bias).fill(1.0);
/// assert_eq!(params.data(), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
/// assert_eq!(params.named("linear.weight")?.1, params.get(weight));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    data: Buffer,
    table: Arc<[Entry]>,
}

impl Params {
    /// Zeros for every tensor of the table.
    #[must_use]
    pub fn zeros(table: ParamTable) -> Self {
        Self { data: Buffer::zeros(table.len()), table: table.entries.into() }
    }

    /// Zeros over the same table: gradients for these parameters.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self { data: Buffer::zeros(self.data.len()), table: Arc::clone(&self.table) }
    }

    /// Whether both are over the same table.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
    }

    /// Every element of every tensor, in the table's order.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Every element, to be written.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The elements of a tensor, row-major.
    ///
    /// # Panics
    /// If `id` is of another, longer table.
    #[must_use]
    pub fn get(&self, id: ParamId) -> &[f32] {
        &self.data[self.table[id.0].range.clone()]
    }

    /// The elements of a tensor, to be written.
    ///
    /// # Panics
    /// If `id` is of another, longer table.
    pub fn get_mut(&mut self, id: ParamId) -> &mut [f32] {
        &mut self.data[self.table[id.0].range.clone()]
    }

    /// That the tensor is there and has that shape; `name` is what a layer calls it.
    pub(crate) fn check(&self, id: ParamId, name: impl FnOnce() -> String, shape: &[usize]) -> Result<()> {
        match self.table.get(id.0) {
            Some(entry) => check_shape(&entry.name, shape, &entry.shape),
            None => Err(Error::UnknownParameter {
                name: name(),
                known: self.iter().map(|(name, ..)| name.into()).collect(),
            }),
        }
    }

    /// Which tensors these are.
    pub(crate) fn tensors(&self) -> Tensors {
        Tensors(Arc::clone(&self.table))
    }

    /// The elements of several tensors at once, to be written.
    ///
    /// # Panics
    /// If two of them are the same, or one is of another, longer table.
    pub fn get_many_mut<const N: usize>(&mut self, ids: [ParamId; N]) -> [&mut [f32]; N] {
        let ranges = ids.map(|id| self.table[id.0].range.clone());
        self.data.get_disjoint_mut(ranges).expect("different tensors of one table")
    }

    /// The shape and the elements of the tensor of that name.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`] where there is none.
    pub fn named(&self, name: &str) -> Result<(&[usize], &[f32])> {
        self.iter().find(|(known, ..)| *known == name).map(|(_, shape, values)| (shape, values)).ok_or_else(|| {
            Error::UnknownParameter { name: name.into(), known: self.iter().map(|(name, ..)| name.into()).collect() }
        })
    }

    /// Sets the tensor of that name.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`] where there is none, [`Error::Shape`] where its shape is another,
    /// [`Error::Length`] where `values` do not fill the shape.
    pub fn set(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        let (expected, _) = self.named(name)?;
        check_shape(name, expected, shape)?;
        if elements(name, shape)? != values.len() {
            return Err(Error::length(name, shape, values.len()));
        }
        let entry = self.table.iter().find(|entry| entry.name == name).expect("found above");
        self.data[entry.range.clone()].copy_from_slice(values);
        Ok(())
    }

    /// Name, shape and elements of every tensor, in the table's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.table.iter().map(|entry| (&entry.name[..], &entry.shape[..], &self.data[entry.range.clone()]))
    }
}

/// Which tensors a model has, by name and shape, without their elements.
#[derive(Clone, Debug)]
pub(crate) struct Tensors(Arc<[Entry]>);

impl Tensors {
    /// That `params` has these tensors in this order; `what` is what it is called.
    pub(crate) fn check(&self, what: &str, params: &Params) -> Result<()> {
        // Nearly always one table, and to compare all names would take as long as the step of a small model.
        if Arc::ptr_eq(&self.0, &params.table) || self.0 == params.table {
            Ok(())
        } else {
            self.first_difference(what, params)
        }
    }

    #[cold]
    #[inline(never)]
    fn first_difference(&self, what: &str, params: &Params) -> Result<()> {
        for (own, entry) in self.0.iter().zip(&params.table[..]) {
            if own.name != entry.name {
                let known = self.0.iter().map(|entry| entry.name.clone()).collect();
                return Err(Error::UnknownParameter { name: entry.name.clone(), known });
            }
            check_shape(&format!("{what}: {}", own.name), &own.shape, &entry.shape)?;
        }
        check_shape(&format!("number of {what}"), &[self.0.len()], &[params.table.len()])
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
    fn tensors_are_set_by_name_and_shape() {
        let mut params = Params::zeros(table());
        params.set("b", &[3], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(params.named("b").unwrap(), (&[3][..], &[1.0, 2.0, 3.0][..]));
        let error = params.set("c", &[3], &[0.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "no parameter is called 'c'; there are: a, b");
        let error = params.set("a", &[4], &[0.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "a: expected [2, 2], got [4]");
        let error = params.set("a", &[2, 2], &[0.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "a: shape [2, 2] needs 4 elements, got 3");
    }

    #[test]
    fn a_name_is_taken_once_and_sizes_may_not_overflow() {
        let mut table = table();
        assert!(table.add("a", &[1]).unwrap_err().to_string().contains("'a' twice"));
        assert!(matches!(table.add("c", &[usize::MAX, 2]), Err(Error::Overflow { .. })));
        assert!(matches!(table.add("c", &[isize::MAX as usize / 4, 1]), Err(Error::Overflow { .. })));
    }

    #[test]
    fn several_tensors_can_be_written_at_once() {
        let mut params = Params::zeros(table());
        let [b, a] = params.get_many_mut([ParamId(1), ParamId(0)]);
        (a[3], b[0]) = (1.0, 2.0);
        assert_eq!(params.data(), [0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0]);
    }
}

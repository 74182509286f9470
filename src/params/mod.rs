//! All parameters of a model in one flat buffer, with a table that says which are whose.
//!
//! Gradients and an optimiser's state are the same shape of thing: one buffer over the same table.

mod table;
mod tensors;

use std::fmt;
use std::sync::Arc;

pub use table::{ParamId, ParamTable};
pub(crate) use tensors::Tensors;

use crate::error::{Error, Result, check_shape};
use crate::tensor::Buffer;
use table::Entry;

/// Parameters, or gradients: named tensors in one flat buffer.
///
/// ```
/// use elman::params::ParamTable;
/// use elman::Params;
///
/// let mut table = ParamTable::new();
/// let weight = table.add("linear.weight", &[2, 3])?;
/// let bias = table.add("linear.bias", &[2])?;
/// let mut params = Params::zeros(table);
/// params.get_mut(bias).expect("of this table").fill(1.0);
/// assert_eq!(params.data(), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
/// assert_eq!(params.get(weight), Some(params.named("linear.weight")?.1));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone)]
pub struct Params {
    data: Buffer,
    table: Arc<ParamTable>,
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        (self.is_like(other) || self.table.entries == other.table.entries) && self.data == other.data
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Params ")?;
        f.debug_map().entries(self.iter().map(|(name, shape, _)| (name, shape))).finish()
    }
}

impl Params {
    /// Zeros for every tensor of the table.
    ///
    /// # Panics
    /// Where there is not as much memory, and the table's [`add`](ParamTable::add) could not tell.
    #[must_use]
    pub fn zeros(table: ParamTable) -> Self {
        Self::try_zeros(table).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn try_zeros(table: ParamTable) -> Result<Self> {
        Ok(Self { data: Buffer::try_zeros("parameters", table.len())?, table: Arc::new(table) })
    }

    /// Zeros over the same table: gradients for these parameters.
    ///
    /// # Panics
    /// Where there is not as much memory.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        self.try_zeros_like("parameters").unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, for what is called `name`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn try_zeros_like(&self, name: &str) -> Result<Self> {
        Ok(Self { data: Buffer::try_zeros(name, self.data.len())?, table: Arc::clone(&self.table) })
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

    /// The elements of a tensor, row-major; `None` where `id` is another, longer table's.
    #[must_use]
    pub fn get(&self, id: ParamId) -> Option<&[f32]> {
        self.table.entries.get(id.0).map(|entry| &self.data[entry.range.clone()])
    }

    /// The elements of a tensor, to be written; `None` where `id` is another, longer table's.
    pub fn get_mut(&mut self, id: ParamId) -> Option<&mut [f32]> {
        self.table.entries.get(id.0).map(|entry| &mut self.data[entry.range.clone()])
    }

    /// The elements of several tensors at once, to be written; `None` where two of them are the same, or one is another,
    /// longer table's.
    pub fn get_many_mut<const N: usize>(&mut self, ids: [ParamId; N]) -> Option<[&mut [f32]; N]> {
        let known = ids.iter().enumerate().all(|(i, id)| id.0 < self.table.entries.len() && !ids[..i].contains(id));
        known.then(|| self.tensors_mut(ids))
    }

    /// The elements of a tensor that [`check`](Self::check) has found.
    pub(crate) fn tensor(&self, id: ParamId) -> &[f32] {
        &self.data[self.table.entries[id.0].range.clone()]
    }

    /// The same, to be written.
    pub(crate) fn tensor_mut(&mut self, id: ParamId) -> &mut [f32] {
        &mut self.data[self.table.entries[id.0].range.clone()]
    }

    /// The same of several different ones.
    pub(crate) fn tensors_mut<const N: usize>(&mut self, ids: [ParamId; N]) -> [&mut [f32]; N] {
        let ranges = ids.map(|id| self.table.entries[id.0].range.clone());
        self.data.get_disjoint_mut(ranges).expect("different tensors of one table")
    }

    /// That the tensor is there and has that shape; `name` is what a layer calls it.
    pub(crate) fn check(&self, id: ParamId, name: impl FnOnce() -> String, shape: &[usize]) -> Result<()> {
        match self.table.entries.get(id.0) {
            Some(entry) => check_shape(&entry.name, shape, &entry.shape),
            None => Err(self.unknown(name())),
        }
    }

    /// Which tensors these are.
    pub(crate) fn tensors(&self) -> Tensors {
        Tensors(Arc::clone(&self.table))
    }

    /// The same where some are given.
    ///
    /// # Panics
    /// As [`get_many_mut`](Self::get_many_mut).
    pub(crate) fn get_some_mut<const N: usize>(&mut self, ids: [Option<ParamId>; N]) -> [Option<&mut [f32]>; N] {
        // Nothing overlaps with an empty range.
        let ranges = ids.map(|id| id.map_or(0..0, |id| self.table.entries[id.0].range.clone()));
        let mut all = self.data.get_disjoint_mut(ranges).expect("different tensors of one table").into_iter();
        ids.map(|id| id.and(all.next()))
    }

    /// The shape and the elements of the tensor of that name.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`] where there is none.
    pub fn named(&self, name: &str) -> Result<(&[usize], &[f32])> {
        self.entry(name).map(|entry| (&entry.shape[..], &self.data[entry.range.clone()]))
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        match self.table.index.get(name) {
            Some(&id) => Ok(&self.table.entries[id]),
            None => Err(self.unknown(name.into())),
        }
    }

    #[cold]
    fn unknown(&self, name: String) -> Error {
        Error::UnknownParameter { name, known: self.iter().map(|(name, ..)| name.into()).collect() }
    }

    /// Sets the tensor of that name.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`] where there is none, [`Error::Shape`] where its shape is another,
    /// [`Error::Length`] where `values` do not fill the shape.
    pub fn set(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Result<()> {
        let entry = self.entry(name)?;
        check_shape(name, &entry.shape, shape)?;
        if entry.range.len() != values.len() {
            return Err(Error::length(name, shape, values.len()));
        }
        let range = entry.range.clone();
        self.data[range].copy_from_slice(values);
        Ok(())
    }

    /// Name, shape and elements of every tensor, in the table's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.table.entries.iter().map(|entry| (&entry.name[..], &entry.shape[..], &self.data[entry.range.clone()]))
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
    fn sixteen_thousand_names_are_found_at_once() {
        let begin = std::time::Instant::now();
        let mut table = ParamTable::new();
        let names: Vec<String> = (0..64_000).map(|i| format!("networks.{}.rnn.weight_hh_l{}", i / 4, i % 4)).collect();
        names.iter().for_each(|name| _ = table.add(name, &[1, 1]).unwrap());
        let mut params = Params::zeros(table);
        names.iter().for_each(|name| params.set(name, &[1, 1], &[1.0]).unwrap());
        assert!(names.iter().all(|name| params.named(name).unwrap().1 == [1.0]));
        // Some 50 ms without optimisation; one look at every other name for each would take minutes.
        assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    }

    #[test]
    fn several_tensors_can_be_written_at_once() {
        let mut params = Params::zeros(table());
        let [b, a] = params.get_many_mut([ParamId(1), ParamId(0)]).unwrap();
        (a[3], b[0]) = (1.0, 2.0);
        assert_eq!(params.data(), [0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0]);
        let [none, b, a] = params.get_some_mut([None, Some(ParamId(1)), Some(ParamId(0))]);
        assert_eq!((none, b, a.map(|a| a.len())), (None, Some(&mut [2.0, 0.0, 0.0][..]), Some(4)));
        assert!(params.get_many_mut([ParamId(1), ParamId(1)]).is_none());
        assert!(params.get_many_mut([ParamId(0), ParamId(2)]).is_none());
    }
}

//! Floor 5: a model as its user holds it: what it is ([`ModelSpec`]), its parameters, and their panels.

mod spec;

pub use spec::{Activation, CellSpec, LayerKind, LayerSpec, ModelSpec, Readout, RecurrentSpec, Reset};

//! What the types that a user meets can do, whatever they are made of.

use std::fmt::Debug;

use elman::tensor::{Mat, MatMut, PackedRef, PackedSequence, Seq, SeqMut, SeqRef};
use elman::{
    Cell, Direction, Error, ErrorKind, Input, Isa, Model, ModelSpec, Nonlinearity, ParamId, ParamTable, Params, Rng,
    State, Threads, Workspace,
};

fn is_shared<T: Send + Sync + Debug>() {}

fn is_sent<T: Send + Debug>() {}

/// Compiles or does not.
#[test]
fn public_types_can_be_shared_between_threads_and_printed() {
    is_shared::<Model>();
    is_shared::<ModelSpec>();
    is_shared::<Workspace>();
    is_shared::<State>();
    is_shared::<Input<'_>>();
    is_shared::<Params>();
    is_shared::<ParamTable>();
    is_shared::<ParamId>();
    is_shared::<(Seq, PackedSequence)>();
    is_shared::<(SeqRef<'_>, SeqMut<'_>, PackedRef<'_>, Mat<'_>)>();
    is_shared::<(Error, ErrorKind, Isa, Cell, Direction, Nonlinearity)>();
    is_sent::<(Rng, Threads)>();
}

#[test]
fn sequences_are_printed_by_their_shapes() {
    let mut seq = Seq::zeros(2, 3, 4).unwrap();
    assert_eq!(format!("{seq:?} {:?} {:?}", seq.view(), seq.view().step(0)), "Seq[2, 3, 4] SeqRef[2, 3, 4] Mat[3, 4]");
    let mut view = seq.view_mut();
    let step: MatMut<'_> = view.step(1);
    assert_eq!(format!("{step:?}"), "MatMut[3, 4]");
    let packed = PackedSequence::from_rows(&[&[1.0], &[2.0, 3.0]], 1).unwrap();
    assert_eq!(format!("{packed:?} {:?}", packed.view()), "PackedSequence[up to 2, 2, 1] PackedRef[up to 2, 2, 1]");
}

#[path = "../../../cli/src/verbs/run/batch.rs"]
pub(crate) mod batch;
#[path = "../../../cli/src/verbs/run/place.rs"]
pub(crate) mod place;
#[path = "../../../cli/src/verbs/run/reading.rs"]
pub(crate) mod reading;

//! The portable tier: the bodies, instantiated.
#![allow(unsafe_code)]

use crate::simd::portable::{F32x8, Portable};

super::table::kernel_table! {
    isa: Portable,
    vector: F32x8,
    token: Some(Portable),
    features: [],
}

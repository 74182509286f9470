//! The AVX2 tier: the bodies, instantiated.
#![allow(unsafe_code)]

use crate::simd::avx2::{Avx2, F32x8};

super::table::kernel_table! {
    isa: Avx2,
    vector: F32x8,
    token: Avx2::new(),
    features: ["avx2", "fma"],
}

//! The AVX-512 tier: the bodies, instantiated.
#![allow(unsafe_code)]

use crate::simd::avx512::{Avx512, F32x16};

super::table::kernel_table! {
    isa: Avx512,
    vector: F32x16,
    token: Avx512::new(),
    features: ["avx512f", "avx512vl", "avx2", "fma"],
}

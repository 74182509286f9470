//! The AVX-512 tier: its registers, its tiles, and the bodies, instantiated.
#![allow(unsafe_code)]

super::table::kernel_table! {
    isa: Avx512,
    name: "avx512",
    on: target_arch = "x86_64",
    vector: crate::simd::avx512::F32x16,
    token: crate::simd::avx512::Avx512::new(),
    // SAFETY: stands in the table's entries, which say why.
    assumed: unsafe { crate::simd::avx512::Avx512::assume() },
    features: ["avx512f", "avx512vl", "avx2", "fma"],
    geometry: Geometry { lanes: 16, registers: 32, mr: 8 },
    // The largest takes 24 registers for its accumulators, 3 for B and 1 for A. One row waits for its weights: four streams
    // of them come faster than eight (L2 102 and 91 GB/s, L3 92 and 86), and four chains of 16 lanes keep the FMAs busy
    // enough for L1's 64 bytes a cycle.
    one_chain: [8 x (3 2 1) 4 x (4 2 1) 2 x (4 2 1) 1 x (4 2 1)],
    four_chains: [2 x (2 1) 1 x (4 2 1)],
}

//! The numbers of each type.

use elman::format::LoadOptions;
use safetensors::tensor::Dtype;

use super::{bits, crate_file, open, params_of, text, vector};

#[test]
fn every_f16_is_what_its_formula_says() {
    let file = open(&crate_file(&[vector("x", Dtype::F16, (0..=u16::MAX).map(u16::to_le_bytes))])).unwrap();
    let (shape, values) = file.read_f32("x").unwrap();
    assert_eq!(shape, [65536]);
    for (pattern, value) in (0..=u16::MAX).zip(values) {
        let (sign, exponent, fraction) = (pattern >> 15, i32::from(pattern >> 10 & 0x1f), pattern & 0x3ff);
        let magnitude = match exponent {
            0 => f64::from(fraction) / 1024.0 * 2f64.powi(-14),
            31 if fraction == 0 => f64::INFINITY,
            31 => {
                let nan = u32::from(sign) << 31 | 0xff << 23 | u32::from(fraction) << 13;
                assert_eq!(value.to_bits(), nan, "{pattern:#06x}");
                continue;
            }
            _ => (1.0 + f64::from(fraction) / 1024.0) * 2f64.powi(exponent - 15),
        };
        let expected = if sign == 0 { magnitude } else { -magnitude };
        assert_eq!(f64::from(value).to_bits(), expected.to_bits(), "{pattern:#06x}");
    }
}

#[test]
fn every_bf16_is_what_its_formula_says() {
    let file = open(&crate_file(&[vector("x", Dtype::BF16, (0..=u16::MAX).map(u16::to_le_bytes))])).unwrap();
    for (pattern, value) in (0..=u16::MAX).zip(file.read_f32("x").unwrap().1) {
        let (sign, exponent, fraction) = (pattern >> 15, i32::from(pattern >> 7 & 0xff), pattern & 0x7f);
        let magnitude = match exponent {
            0 => f64::from(fraction) / 128.0 * 2f64.powi(-126),
            255 if fraction == 0 => f64::INFINITY,
            255 => {
                let nan = u32::from(sign) << 31 | 0xff << 23 | u32::from(fraction) << 16;
                assert_eq!(value.to_bits(), nan, "{pattern:#06x}");
                continue;
            }
            _ => (1.0 + f64::from(fraction) / 128.0) * 2f64.powi(exponent - 127),
        };
        let expected = if sign == 0 { magnitude } else { -magnitude };
        assert_eq!(f64::from(value).to_bits(), expected.to_bits(), "{pattern:#06x}");
    }
}

#[test]
fn f64_rounds_to_the_nearest_ties_to_even() {
    let half = 2f64.powi(-24);
    let table = [
        (0.1, 0x3dcc_cccd),
        (1.0 + half, 0x3f80_0000),
        (1.0 + 3.0 * half, 0x3f80_0002),
        (1.0 + half + 2f64.powi(-52), 0x3f80_0001),
        (-0.0, 0x8000_0000),
        (2f64.powi(-149), 1),
        (2f64.powi(-150), 0),
        (-2f64.powi(-150) * 1.5, 0x8000_0001),
        (f64::MIN_POSITIVE, 0),
        (f64::from(f32::MAX), 0x7f7f_ffff),
        (f64::from(f32::MAX) + 2f64.powi(102), 0x7f7f_ffff),
        (f64::INFINITY, 0x7f80_0000),
        (f64::NEG_INFINITY, 0xff80_0000),
        (f64::from_bits(0x7ff8_0000_0000_0000), 0x7fc0_0000),
        (f64::from_bits(0xfff8_2468_a000_0000), 0xffc1_2345),
        // Its payload is below what is kept: a NaN all the same.
        (f64::from_bits(0x7ff0_0000_0000_0001), 0x7fc0_0000),
    ];
    let file = open(&crate_file(&[vector("x", Dtype::F64, table.map(|(value, _)| value.to_le_bytes()))])).unwrap();
    assert_eq!(bits(&file.read_f32("x").unwrap().1), table.map(|(_, bits)| bits));

    // Against its neighbours, which are exact in f64.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let values: Vec<f64> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f64::from_bits(state & !(0x7ff << 52) | (1023 - 150 + (state >> 20) % 270) << 52)
    })
    .take(20_000)
    .collect();
    let file = open(&crate_file(&[vector("x", Dtype::F64, values.iter().map(|value| value.to_le_bytes()))])).unwrap();
    for (value, got) in values.into_iter().zip(file.read_f32("x").unwrap().1) {
        let distance = (value - f64::from(got)).abs();
        for neighbour in [got.next_up(), got.next_down()] {
            let other = (value - f64::from(neighbour)).abs();
            assert!(distance < other || distance == other && got.to_bits() % 2 == 0, "{value:e}: {got:e}");
        }
    }
}

#[test]
fn a_finite_f64_does_not_become_infinite() {
    for value in [1e300, -1e300, f64::from(f32::MAX) + 2f64.powi(103)] {
        let values = [1.0, f64::INFINITY, value].map(f64::to_le_bytes);
        let file = open(&crate_file(&[vector("x", Dtype::F64, values)])).unwrap();
        let expected = format!("x: expected elements in the range of F32, got {value:e} at 2");
        assert_eq!(text(&file.read_f32("x").unwrap_err()), expected);
        let mut params = params_of(&[("x", &[3])]);
        let before = bits(params.data());
        assert_eq!(text(&file.load_into(&mut params, &LoadOptions::default()).unwrap_err()), expected);
        assert_eq!(bits(params.data()), before);
    }
}

#[test]
fn f32_keeps_every_bit() {
    let patterns =
        [0, 1 << 31, 1, 0x807f_ffff, 0x7fc0_0000, 0xffc1_2345, 0x7f80_0001, 0xffbf_ffff, 0x7f80_0000, 0x3f80_0001];
    let contents = crate_file(&[vector("a.x", Dtype::F32, patterns.map(u32::to_le_bytes))]);
    let file = open(&contents).unwrap();
    assert_eq!(bits(&file.read_f32("a.x").unwrap().1), patterns);
    let mut params = params_of(&[("x", &[10])]);
    let options = LoadOptions::new().prefix("a");
    assert!(file.load_into(&mut params, &options).unwrap().converted.is_empty());
    assert_eq!(bits(params.data()), patterns);
}

#[test]
fn integers_of_every_type() {
    let tensors = [
        vector("I64", Dtype::I64, [i64::MIN, -1, i64::MAX].map(i64::to_le_bytes)),
        vector("I32", Dtype::I32, [i32::MIN, -1, i32::MAX].map(i32::to_le_bytes)),
        vector("I16", Dtype::I16, [i16::MIN, -1, i16::MAX].map(i16::to_le_bytes)),
        vector("I8", Dtype::I8, [i8::MIN, -1, i8::MAX].map(i8::to_le_bytes)),
        vector("U32", Dtype::U32, [0, 1, u32::MAX].map(u32::to_le_bytes)),
        vector("U16", Dtype::U16, [0, 1, u16::MAX].map(u16::to_le_bytes)),
        vector("U8", Dtype::U8, [0, 1, u8::MAX].map(u8::to_le_bytes)),
        ("matrix", Dtype::U8, vec![2, 1], vec![7, 8]),
        ("scalar", Dtype::I8, vec![], vec![0xff]),
        ("empty", Dtype::I64, vec![0, 3], vec![]),
    ];
    let file = open(&crate_file(&tensors)).unwrap();
    for (name, shape, expected) in [
        ("I64", &[3][..], &[i64::MIN, -1, i64::MAX][..]),
        ("I32", &[3], &[-1 << 31, -1, (1 << 31) - 1]),
        ("I16", &[3], &[-1 << 15, -1, (1 << 15) - 1]),
        ("I8", &[3], &[-128, -1, 127]),
        ("U32", &[3], &[0, 1, (1 << 32) - 1]),
        ("U16", &[3], &[0, 1, 65535]),
        ("U8", &[3], &[0, 1, 255]),
        ("matrix", &[2, 1], &[7, 8]),
        ("scalar", &[], &[-1]),
        ("empty", &[0, 3], &[]),
    ] {
        assert_eq!(file.read_integers(name).unwrap(), (shape.into(), expected.into()), "{name}");
    }
}

#[test]
fn bools_are_0_or_1() {
    let tensors = [("mask", Dtype::BOOL, vec![2, 2], vec![0, 1, 1, 0]), ("odd", Dtype::BOOL, vec![3], vec![1, 2, 255])];
    let file = open(&crate_file(&tensors)).unwrap();
    assert_eq!(file.read_bools("mask").unwrap(), (vec![2, 2], vec![false, true, true, false]));
    assert_eq!(text(&file.read_bools("odd").unwrap_err()), "odd: expected elements of 0 or 1, got 2 at 1");
}

#[test]
fn a_type_that_is_not_read_is_named() {
    let all = [
        (Dtype::BOOL, 1),
        (Dtype::U8, 1),
        (Dtype::I8, 1),
        (Dtype::F8_E5M2, 1),
        (Dtype::F8_E4M3, 1),
        (Dtype::F8_E8M0, 1),
        (Dtype::F8_E4M3FNUZ, 1),
        (Dtype::F8_E5M2FNUZ, 1),
        (Dtype::I16, 2),
        (Dtype::U16, 2),
        (Dtype::F16, 2),
        (Dtype::BF16, 2),
        (Dtype::I32, 4),
        (Dtype::U32, 4),
        (Dtype::F32, 4),
        (Dtype::C64, 8),
        (Dtype::F64, 8),
        (Dtype::I64, 8),
        (Dtype::U64, 8),
        // Two of these are a byte, four of those are three.
        (Dtype::F4, 1),
        (Dtype::F6_E2M3, 3),
        (Dtype::F6_E3M2, 3),
    ];
    for (dtype, bytes) in all {
        let elements = 8 * bytes / dtype.bitsize();
        let file = open(&crate_file(&[("x", dtype, vec![elements], vec![0; bytes])])).unwrap();
        let name = dtype.to_string();
        let info = file.info("x").unwrap();
        assert_eq!((info.dtype.name(), info.shape, info.bytes), (&name[..], &[elements][..], bytes));
        match &name[..] {
            "F32" | "F64" | "F16" | "BF16" => assert_eq!(file.read_f32("x").unwrap(), (vec![1], vec![0.0])),
            _ => {
                let expected = format!("x: expected F32, F64, F16 or BF16, got {name}");
                assert_eq!(text(&file.read_f32("x").unwrap_err()), expected);
                let mut params = params_of(&[("x", &[elements])]);
                assert_eq!(text(&file.load_into(&mut params, &LoadOptions::default()).unwrap_err()), expected);
            }
        }
        match &name[..] {
            "I64" | "I32" | "I16" | "I8" | "U32" | "U16" | "U8" => {
                assert_eq!(file.read_integers("x").unwrap(), (vec![1], vec![0]));
            }
            _ => assert_eq!(
                text(&file.read_integers("x").unwrap_err()),
                format!("x: expected I64, I32, I16, I8, U32, U16 or U8, got {name}")
            ),
        }
        match &name[..] {
            "BOOL" => assert_eq!(file.read_bools("x").unwrap(), (vec![1], vec![false])),
            _ => assert_eq!(text(&file.read_bools("x").unwrap_err()), format!("x: expected BOOL, got {name}")),
        }
    }
}

#[test]
fn a_tensor_that_is_not_there_is_named() {
    let file = open(&crate_file(&[])).unwrap();
    assert_eq!(file.info("x\n"), None);
    let expected = r"x\n: missing, the file has no such tensor";
    assert_eq!(text(&file.read_f32("x\n").unwrap_err()), expected);
    assert_eq!(text(&file.read_integers("x\n").unwrap_err()), expected);
    assert_eq!(text(&file.read_bools("x\n").unwrap_err()), expected);
}

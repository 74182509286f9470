//! Files of very many networks, layers or tensors take time in proportion.

use std::time::{Duration, Instant};

use elman::format::{LoadOptions, TensorFile, describe, prefixes};
use elman::internals::Recurrent;
use elman::params::ParamTable;
use elman::{Nonlinearity, Params};

use super::{params_of, raw_file};

/// A file of F32 zeros of these names and shapes.
fn file_of(tensors: impl Iterator<Item = (String, Vec<usize>)>) -> TensorFile {
    let mut end = 0;
    let entries: Vec<_> = tensors
        .map(|(name, shape)| {
            let start = end;
            end += 4 * shape.iter().product::<usize>();
            format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    TensorFile::from_bytes(raw_file(format!("{{{}}}", entries.join(",")), &vec![0; end])).unwrap()
}

/// How long this thread has had a core, where the system tells (Linux does), to some milliseconds; else 0.
fn on_core() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat");
    Duration::from_nanos(told.ok().and_then(|told| told.split(' ').next()?.parse().ok()).unwrap_or(0))
}

/// The least of three, as a machine that is busy is slower too; without the time that others had the core. Debug builds get
/// forty times as long.
fn within(milliseconds: u64, mut work: impl FnMut()) {
    let times = (0..3).map(|_| {
        let (begin, before) = (Instant::now(), on_core());
        work();
        let after = on_core();
        if after.is_zero() { begin.elapsed() } else { after - before }
    });
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 40 * milliseconds } else { milliseconds });
    let least = times.min().unwrap();
    assert!(least < limit, "{least:?}, expected at most {limit:?}");
}

#[test]
fn thousands_of_networks_are_described_in_half_a_second() {
    const COUNT: usize = 16_000;
    let names = ["weight_ih_l0", "weight_hh_l0"];
    let file = file_of((0..COUNT).flat_map(|i| names.map(|name| (format!("n{i}.{name}"), vec![1, 1]))));
    within(500, || {
        let prefixes = prefixes(&file);
        assert_eq!(prefixes.len(), COUNT);
        for prefix in prefixes {
            assert_eq!(describe(&file, Some(prefix), None).unwrap().hidden_sizes, [1]);
        }
    });
}

#[test]
fn thousands_of_layers_are_described_and_loaded_in_half_a_second() {
    const COUNT: usize = 30_000;
    let names = ["weight_ih_l", "weight_hh_l"];
    let file = file_of((0..COUNT).flat_map(|i| names.map(|name| (format!("{name}{i}"), vec![1, 1]))));
    within(500, || {
        let description = describe(&file, None, None).unwrap();
        assert_eq!(description.hidden_sizes.len(), COUNT);
        let mut table = ParamTable::new();
        Recurrent::new(description.config(Nonlinearity::Tanh), &mut table, "").unwrap();
        let mut params = Params::zeros(table);
        file.load_into(&mut params, &LoadOptions::from(&description)).unwrap();
    });
}

#[test]
fn thousands_of_problems_are_a_line_of_four_kilobytes() {
    const COUNT: usize = 20_000;
    let names: Vec<_> = (0..COUNT).map(|i| format!("layers.{i}.weight")).collect();
    let table: Vec<_> = names.iter().map(|name| (&name[..], &[1][..])).collect();
    let file = file_of(std::iter::empty());
    let text = file.load_into(&mut params_of(&table), &LoadOptions::new()).unwrap_err().to_string();
    assert!(text.len() <= 4096, "{} bytes", text.len());
    assert!(text.starts_with("layers.0.weight: missing, expected [1]; ") && text.contains("19"), "{text}");
}

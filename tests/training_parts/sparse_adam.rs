//! Lazy Adam against PyTorch's formula, worked out by hand.

use elman::optim::{Adam, AdamConfig, Optimizer, SparseAdam, SparseAdamConfig};
use elman::params::ParamTable;
use elman::{ErrorKind, Isa, Params, Rng};

/// A table of 3 rows of 2 elements between two tensors that are not sparse.
fn params() -> Params {
    let mut table = ParamTable::new();
    for (name, shape) in [("a", &[3][..]), ("table", &[3, 2]), ("b", &[2, 2]), ("c", &[2])] {
        table.add(name, shape).unwrap();
    }
    let mut params = Params::zeros(table);
    params.data_mut().fill(1.0);
    params
}

fn gradients(of: &Params, table: [f32; 6]) -> Params {
    let mut gradients = of.zeros_like();
    gradients.set("table", &[3, 2], &table).unwrap();
    gradients
}

fn table(params: &Params) -> &[f32] {
    params.named("table").unwrap().1
}

/// The change of an element that began at 1, in units of a rate of 0.5.
fn assert_change(got: f32, expected: f64, what: &str) {
    let change = (1.0 - f64::from(got)) / 0.5;
    assert!((change - expected).abs() < 1e-6, "{what}: {change} instead of {expected}");
}

#[test]
fn a_row_goes_by_pytorchs_formula_and_the_steps_of_all() {
    let mut params = params();
    let config = SparseAdamConfig::default().lr(0.5).eps(0.1);
    let mut optimizer = SparseAdam::new(&params, config, ["table"]).unwrap();
    // Row 0 alone: m = 0.1, v = 0.001, and √0.001 · 0.1/0.1 / (√0.001 + 0.1) = 0.24025307. (Adam: 1/(1 + 0.1).)
    let first = gradients(&params, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    optimizer.step(&mut params, &first).unwrap();
    assert_change(table(&params)[0], 0.240_253_07, "row 0");
    assert_eq!(table(&params)[1..], [1.0; 5], "no gradient, no change");
    // Row 2 alone, for the first time, but in step 2: √(1 - 0.999²)/(1 - 0.9²) = 0.23531673; times 0.1/(√0.001 + 0.1).
    let after = table(&params)[0];
    let second = gradients(&params, [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    optimizer.step(&mut params, &second).unwrap();
    assert_change(table(&params)[4], 0.178_781_16, "row 2");
    assert_eq!(table(&params)[0], after, "Adam would have moved it by what its mean holds");
    let state = optimizer.state();
    let means = &state.tensors.iter().find(|it| it.to_string() == "exp_avg of table").unwrap().values;
    assert_eq!(means[..], [0.1, 0.0, 0.0, 0.0, 0.1, 0.0], "nor does a mean decay without a gradient");
    assert_eq!((state.step, &state.name[..]), (2, "SparseAdam"));
}

/// Rows of any number of elements over many steps, on every tier.
#[test]
fn many_steps_follow_the_formula() {
    let is_there = |isa| SparseAdam::new(&params(), SparseAdamConfig::default().isa(isa), ["table"]).is_ok();
    for isa in Isa::ALL.iter().copied().filter(|&isa| is_there(isa)) {
        for width in [1, 3, 16, 37] {
            follow(isa, width);
        }
    }
}

fn follow(isa: Isa, width: usize) {
    const ROWS: usize = 5;
    let (mut rng, mut table) = (Rng::new(3), ParamTable::new());
    table.add("table", &[ROWS, width]).unwrap();
    let mut params = Params::zeros(table);
    let mut gradients = params.zeros_like();
    let config = SparseAdamConfig::default().lr(0.01).betas(0.8, 0.95).isa(isa);
    let mut optimizer = SparseAdam::new(&params, config, ["table"]).unwrap();
    let (lr, eps) = (f64::from(config.lr), f64::from(config.eps));
    let [mut p, mut m, mut v] = [(); 3].map(|()| vec![0.0_f64; ROWS * width]);
    for t in 1..=30 {
        for row in gradients.data_mut().chunks_mut(width) {
            let has_gradient = rng.below(2) == 0;
            row.iter_mut().for_each(|d| *d = if has_gradient { rng.uniform(-1.0, 1.0) } else { 0.0 });
        }
        optimizer.step(&mut params, &gradients).unwrap();
        let step_size = lr * (1.0 - 0.95_f64.powi(t)).sqrt() / (1.0 - 0.8_f64.powi(t));
        for i in 0..ROWS * width {
            let row = &gradients.data()[i / width * width..][..width];
            if row.iter().all(|&d| d == 0.0) {
                continue;
            }
            let g = f64::from(gradients.data()[i]);
            m[i] += (1.0 - 0.8) * (g - m[i]);
            v[i] += (1.0 - 0.95) * (g * g - v[i]);
            p[i] -= step_size * m[i] / (v[i].sqrt() + eps);
        }
    }
    for (i, (&got, &expected)) in params.data().iter().zip(&p).enumerate() {
        assert!((f64::from(got) - expected).abs() < 1e-6, "{isa}, {width}, {i}: {got} instead of {expected}");
    }
}

#[test]
fn what_is_not_named_goes_by_adam() {
    let mut rng = Rng::new(4);
    let (mut lazy, mut dense) = (params(), params());
    let mut optimizer = SparseAdam::new(&lazy, SparseAdamConfig::default().lr(0.1), ["table"]).unwrap();
    let mut adam = Adam::new(&dense, AdamConfig::default().lr(0.1)).unwrap();
    let mut gradients = lazy.zeros_like();
    for step in 0..5 {
        gradients.data_mut().iter_mut().for_each(|d| *d = if step % 2 == 0 { rng.uniform(-1.0, 1.0) } else { 0.0 });
        optimizer.step(&mut lazy, &gradients).unwrap();
        adam.step(&mut dense, &gradients).unwrap();
        for name in ["a", "b", "c"] {
            assert_eq!(lazy.named(name).unwrap(), dense.named(name).unwrap(), "{name} after step {step}");
        }
    }
    assert_ne!(table(&lazy), table(&dense));
    // Without a name all is Adam's.
    let (mut one, mut other) = (params(), params());
    let mut none = SparseAdam::new(&one, SparseAdamConfig::default(), [""; 0]).unwrap();
    let mut adam = Adam::new(&other, AdamConfig::default()).unwrap();
    none.step(&mut one, &gradients).unwrap();
    adam.step(&mut other, &gradients).unwrap();
    assert_eq!(one, other);
}

#[test]
fn tensors_of_one_dimension_go_element_by_element_and_nan_is_a_gradient() {
    let mut params = params();
    let mut optimizer = SparseAdam::new(&params, SparseAdamConfig::default(), ["a", "table"]).unwrap();
    let mut gradients = gradients(&params, [0.0, 0.0, f32::NAN, 0.0, -0.0, 0.0]);
    gradients.set("a", &[3], &[0.0, 1.0, 0.0]).unwrap();
    optimizer.step(&mut params, &gradients).unwrap();
    let a = params.named("a").unwrap().1;
    assert!(a[0] == 1.0 && a[1] < 1.0 && a[2] == 1.0, "{a:?}");
    assert!(table(&params)[2].is_nan());
    assert!(table(&params)[..2] == [1.0; 2] && table(&params)[3..] == [1.0; 3], "{:?}", table(&params));
}

#[test]
fn it_goes_on_from_its_state() {
    let mut params = params();
    let make = |params: &Params| SparseAdam::new(params, SparseAdamConfig::default(), ["table"]).unwrap();
    let mut optimizer = make(&params);
    let gradients = gradients(&params, [0.5, -1.0, 0.0, 0.0, 2.0, 0.0]);
    optimizer.step(&mut params, &gradients).unwrap();
    optimizer.set_learning_rate(0.25).unwrap();
    let (mut resumed, mut copy) = (make(&params), params.clone());
    resumed.load_state(&optimizer.state()).unwrap();
    assert_eq!(resumed.learning_rate(), 0.25);
    optimizer.step(&mut params, &gradients).unwrap();
    resumed.step(&mut copy, &gradients).unwrap();
    assert_eq!(params, copy);
    let adam = Adam::new(&params, AdamConfig::default()).unwrap();
    let error = resumed.load_state(&adam.state()).unwrap_err();
    assert_eq!(error.to_string(), "optimizer state: expected one of SparseAdam, got one of Adam");
}

#[test]
fn names_settings_and_parameters_that_do_not_fit_are_refused() {
    let params = params();
    let new = |config, name| SparseAdam::new(&params, config, [name]).map(|_| ()).unwrap_err();
    let config = SparseAdamConfig::default();
    let error = new(config, "embedding");
    assert_eq!(error.to_string(), "no parameter is called 'embedding'; there are: a, table, b, c");
    for (config, name) in [
        (config.lr(-1.0), "lr"),
        (config.eps(0.0), "eps: expected a finite number above 0, got 0"),
        (config.eps(f32::NAN), "eps"),
        (config.betas(1.0, 0.9), "betas[0]"),
        (config.betas(0.9, 1.0), "betas[1]"),
    ] {
        let error = new(config, "table");
        assert!(error.kind() == ErrorKind::Setting && error.to_string().starts_with(name), "{error}");
    }
    let mut optimizer = SparseAdam::new(&params, config, ["table"]).unwrap();
    assert_eq!(optimizer.set_learning_rate(f32::NAN).unwrap_err().kind(), ErrorKind::Setting);
    let mut table = ParamTable::new();
    table.add("a", &[4]).unwrap();
    let mut other = Params::zeros(table);
    let before = optimizer.state();
    let gradients = other.zeros_like();
    assert_eq!(optimizer.step(&mut other, &gradients).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(optimizer.state(), before);
}

#[cfg(feature = "serde")]
#[test]
fn settings_go_through_serde() {
    let config = SparseAdamConfig::default().lr(0.5).betas(0.8, 0.9);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<SparseAdamConfig>(&json).unwrap(), config);
    assert_eq!(serde_json::from_str::<SparseAdamConfig>("{}").unwrap(), SparseAdamConfig::default());
}

//! Networks of any settings over inputs of any form and shape, right or wrong: an error or a result, never a panic.

#![no_main]

use elman::internals::{BackwardArgs, Cell, Kernels, NetworkConfig, Recurrent, RecurrentWorkspace};
use elman::tensor::{PackedSequence, SeqRef};
use elman::Nonlinearity;
use elman::params::ParamTable;
use elman::{Error, Params, Result, Rng, State, Threads};
use elman_fuzz::{Size, Within};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// What needs more elements than this is left alone, unless it needs so many that it must be refused.
const ROOM: u128 = 1_000_000;

#[derive(Arbitrary, Debug)]
struct Input {
    networks: [Settings; 2],
    /// One pass runs them all.
    calls: Vec<Call>,
}

/// A size: nearly always one that works, or one that the place it is for asks for.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Extent {
    Fit,
    Within(Within<0, 20>),
    Wide(Within<21, 70>),
    Power(Within<30, 63>),
    Odd(Size),
}

impl Extent {
    fn or(self, fit: usize) -> usize {
        match self {
            Extent::Fit => fit,
            Extent::Within(size) => size.get(),
            Extent::Wide(size) => size.get(),
            Extent::Power(of_two) => 1 << of_two.get(),
            Extent::Odd(size) => size.get() as usize,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Settings {
    cell: Within<0, 3>,
    input: Extent,
    layers: Within<0, 4>,
    hidden: [Extent; 4],
    bias: bool,
    batch_first: bool,
    /// By its bits, where it is not 0.
    dropout: Option<u32>,
    bidirectional: bool,
    proj: Option<Extent>,
    forget_bias: Option<u32>,
    kernels: Option<u8>,
}

impl Settings {
    fn config(&self) -> NetworkConfig {
        let cell = [Cell::Elman(Nonlinearity::Tanh), Cell::Elman(Nonlinearity::Relu), Cell::Gru, Cell::Lstm];
        let tiers: Vec<_> = Kernels::available().collect();
        let hidden = self.hidden.iter().take(self.layers.get()).map(|hidden| hidden.or(5)).collect();
        NetworkConfig {
            bias: self.bias,
            batch_first: self.batch_first,
            dropout: self.dropout.map_or(0.0, f32::from_bits),
            bidirectional: self.bidirectional,
            proj_size: self.proj.map_or(0, |proj| proj.or(2)),
            forget_bias: self.forget_bias.map(f32::from_bits),
            kernels: self.kernels.map(|tier| tiers[usize::from(tier) % tiers.len()]),
            ..NetworkConfig::new(cell[self.cell.get()], self.input.or(3), hidden)
        }
    }
}

/// What is to come of settings.
#[derive(PartialEq)]
enum Verdict {
    Made,
    Refused,
    /// A layer comes before any that is refused which memory has no room for, though there are addresses: as any vector
    /// of that size, it aborts.
    LeftAlone,
}

fn judge(config: &NetworkConfig) -> Verdict {
    let NetworkConfig { cell, input_size, ref hidden_sizes, bias, dropout, proj_size, forget_bias, .. } = *config;
    let lstm = cell == Cell::Lstm;
    if input_size == 0
        || hidden_sizes.is_empty()
        || hidden_sizes.contains(&0)
        || !(0.0..=1.0).contains(&dropout)
        || forget_bias.is_some_and(|value| !(bias && lstm && value.is_finite()))
        || (proj_size > 0 && !lstm)
    {
        return Verdict::Refused;
    }
    let directions = 1 + u128::from(config.bidirectional);
    // As they lie in memory, in whole vectors.
    let padded = |n: usize| (n as u128).next_multiple_of(16);
    // Twice as much is refused before any layer is made.
    if hidden_sizes.iter().any(|&hidden| directions * hidden as u128 > usize::MAX as u128 && proj_size == 0) {
        return Verdict::Refused;
    }
    let mut input = padded(input_size);
    for &hidden in hidden_sizes {
        if proj_size >= hidden {
            return Verdict::Refused;
        }
        let output = if proj_size == 0 { hidden } else { proj_size };
        let need = (4 * padded(hidden)).saturating_mul(input + padded(output) + 8);
        // The largest weight has a tenth of them at least, and 2^61 elements cannot be addressed.
        if need > 1 << 65 {
            return Verdict::Refused;
        }
        if need > ROOM {
            return Verdict::LeftAlone;
        }
        input = directions * padded(output);
    }
    Verdict::Made
}

fn network(config: NetworkConfig) -> Option<(Recurrent, Params)> {
    let verdict = judge(&config);
    if verdict == Verdict::LeftAlone {
        return None;
    }
    let mut layout = ParamTable::new();
    match Recurrent::new(config, &mut layout, "") {
        Ok(mut network) => {
            assert!(verdict == Verdict::Made, "made of settings that are none: {:?}", network.config());
            let mut params = Params::zeros(layout);
            network.init(&mut params, &mut Rng::new(1));
            network.load(&params).unwrap();
            Some((network, params))
        }
        Err(error) => {
            assert!(verdict == Verdict::Refused, "refused though valid: {error}");
            tell(&error);
            None
        }
    }
}

/// Every error can be shown, on one line.
fn tell(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}

/// A batch in some form.
#[derive(Arbitrary, Debug)]
struct Batch {
    form: Form,
    steps: Extent,
    batch: Extent,
    width: Extent,
    /// How many elements there are more, or less, than the shape needs.
    spare: Option<i8>,
    resets: Option<Extent>,
}

#[derive(Arbitrary, Debug)]
enum Form {
    Padded,
    Unbatched,
    /// With lengths for `rows`; each `Fit` is as long as there are steps.
    Packed {
        rows: Extent,
        lengths: [Extent; 4],
        batch_first: bool,
    },
    Rows {
        lengths: [Within<0, 9>; 3],
    },
}

/// What a batch's data is, owned.
struct Data {
    x: Vec<f32>,
    shape: [usize; 3],
    packed: Option<PackedSequence>,
    unbatched: bool,
    resets: Option<Vec<bool>>,
}

impl Batch {
    /// The batch, where it has room and its shape can be made; `widest` elements of memory go with each of its rows.
    fn data(&self, batch_first: bool, width: usize, widest: u128) -> Option<Data> {
        let (steps, batch, width) = (self.steps.or(4), self.batch.or(3), self.width.or(width));
        let unbatched = matches!(self.form, Form::Unbatched);
        let batch = if unbatched { 1 } else { batch };
        let rows = (steps as u128).max(1).saturating_mul(batch as u128);
        if rows.saturating_mul(widest + width as u128) > ROOM {
            // Where it cannot be addressed, it is refused.
            if let Err(error) = SeqRef::new(&[], steps, batch, width) {
                tell(&error);
            }
            return None;
        }
        let len = (steps * batch * width).saturating_add_signed(self.spare.unwrap_or(0).into());
        let mut rng = Rng::new(len as u64);
        let x: Vec<f32> = (0..len).map(|_| rng.uniform(-1.0, 1.0)).collect();
        let packed = match &self.form {
            Form::Padded | Form::Unbatched => None,
            Form::Packed { rows, lengths, batch_first } => {
                let rows = rows.or(batch).min(10_000);
                let lengths: Vec<_> = (0..rows).map(|row| lengths[row % 4].or(steps)).collect();
                let shape = if *batch_first { [batch, steps] } else { [steps, batch] };
                let seq = check(SeqRef::new(&x, shape[0], shape[1], width))?;
                let packed = if *batch_first {
                    PackedSequence::from_batch_first(seq, &lengths)
                } else {
                    PackedSequence::from_padded(seq, &lengths)
                };
                let packed = check(packed)?;
                for steps in [0, steps] {
                    if let Some(padded) = check(packed.to_padded(steps)) {
                        assert_eq!(padded.shape(), [steps, batch, width]);
                    }
                }
                Some(packed)
            }
            Form::Rows { lengths } => {
                let width = width.min(70);
                let x: Vec<f32> = (0..9 * width).map(|_| rng.uniform(-1.0, 1.0)).collect();
                let rows =
                    lengths.map(|length| &x[..(length.get() * width).saturating_sub(self.spare.map_or(0, |_| 1))]);
                Some(check(PackedSequence::from_rows(&rows, width))?)
            }
        };
        let total = packed.as_ref().map_or(steps * batch, |packed| packed.batch_sizes().sum());
        let resets = self.resets.map(|len| (0..len.or(total).min(ROOM as usize)).map(|i| i % 3 == 0).collect());
        let shape = if batch_first { [batch, steps, width] } else { [steps, batch, width] };
        Some(Data { x, shape, packed, unbatched, resets })
    }
}

/// What was made, or nothing where an error says why not.
fn check<T>(result: Result<T>) -> Option<T> {
    result.inspect_err(tell).ok()
}

impl Data {
    fn input(&self) -> Option<elman::Input<'_>> {
        let [outer, inner, width] = self.shape;
        let input = match &self.packed {
            Some(packed) => packed.into(),
            None if self.unbatched => check(elman::Input::unbatched(&self.x, width))?,
            None => check(SeqRef::new(&self.x, outer, inner, width))?.into(),
        };
        Some(match &self.resets {
            Some(resets) => input.resets(resets),
            None => input,
        })
    }
}

#[derive(Arbitrary, Debug)]
struct Call {
    which: bool,
    input: Batch,
    state: Option<First>,
    seed: Option<u8>,
    threads: Within<1, 3>,
    back: Option<Back>,
}

/// A state, of the network that runs or of the other.
#[derive(Arbitrary, Debug)]
struct First {
    other: bool,
    batch: Extent,
    /// Made of slices of these shapes.
    of: Option<[[Extent; 3]; 2]>,
}

impl First {
    fn state(&self, networks: &[&Recurrent; 2], batch: usize, widest: u128) -> Option<State> {
        let network = networks[usize::from(self.other)];
        let batch = self.batch.or(batch);
        if (batch as u128).saturating_mul(widest) > ROOM {
            if batch as u128 >= 1 << 63 {
                network.zero_state(batch).expect_err("more than can be addressed");
            }
            return None;
        }
        let Some(shapes) = &self.of else { return Some(network.zero_state(batch).unwrap()) };
        let own = network.zero_state(batch).unwrap();
        let fits = [own.h_shape(), own.c_shape()];
        let [h_0, c_0] = [0, 1].map(|i| [0, 1, 2].map(|k| shapes[i][k].or(fits[i][k])));
        let data = |shape: [usize; 3]| {
            let len = shape.iter().fold(1_u128, |n, &size| n.saturating_mul(size as u128));
            vec![0.5; if len > ROOM { 0 } else { len as usize }]
        };
        let (h, c) = (data(h_0), data(c_0));
        let seq = |data, [a, b, c]: [usize; 3]| check(SeqRef::new(data, a, b, c));
        check(network.state(batch, seq(&h, h_0), seq(&c, c_0)))
    }
}

#[derive(Arbitrary, Debug)]
struct Back {
    /// Run by the network that ran forward, or by the other.
    other: bool,
    /// Of the forward run, unless it is another.
    input: Option<Batch>,
    /// In the form of the input, unless it is another.
    d_output: Option<Batch>,
    d_state: Option<First>,
    other_params: bool,
    d_input: bool,
    d_state_0: bool,
    twice: bool,
}

/// The gradient at the output that fits an input.
fn fitting(data: &Data, width: usize) -> Data {
    let [outer, inner, _] = data.shape;
    let packed = data.packed.as_ref().map(|packed| {
        let mut d = packed.zeros_like(width).unwrap();
        d.data_mut().fill(0.5);
        d
    });
    let x = vec![0.5; outer * inner * width];
    Data { x, shape: [outer, inner, width], packed, unbatched: data.unbatched, resets: None }
}

/// What a row of a step needs in all layers of either network: gates, states, outputs and their gradients, padded.
fn widest(networks: &[&Recurrent; 2]) -> u128 {
    let of = |config: &NetworkConfig| {
        let units = config.hidden_sizes.iter().map(|&hidden| (hidden as u128).next_multiple_of(16)).sum::<u128>();
        units * 2 * 12 + config.input_size as u128
    };
    networks.iter().map(|network| of(network.config())).max().unwrap()
}

impl Call {
    fn run(&self, networks: &[(Recurrent, Params); 2], pass: &mut RecurrentWorkspace) -> Option<()> {
        let which = usize::from(self.which);
        let network = &networks[which].0;
        let both = [network, &networks[1 - which].0];
        let widest = widest(&both);
        let batch_first = network.config().batch_first;
        let data = self.input.data(batch_first, network.input_size(), widest)?;
        let input = data.input()?;
        let batch = match &data.packed {
            Some(packed) => packed.view().batch(),
            None => data.shape[usize::from(!batch_first)],
        };
        let state = match &self.state {
            Some(state) => Some(state.state(&both, batch, widest)?),
            None => None,
        };
        let threads = Threads::new(self.threads.get()).unwrap();
        let run = match self.seed {
            None => network.forward(input, state.as_ref(), pass, threads),
            Some(seed) => network.forward_training(input, state.as_ref(), seed.into(), pass, threads),
        };
        check(run)?;

        let width = network.output_size();
        let shape = if data.unbatched { [data.shape[0].max(data.shape[1]), 1] } else { [data.shape[0], data.shape[1]] };
        let values = match &data.packed {
            Some(packed) => {
                assert!(pass.packed_output().batch_sizes().eq(packed.batch_sizes()));
                pass.packed_output().data()
            }
            None => {
                let output = pass.output();
                if !data.unbatched {
                    assert_eq!(output.shape(), [shape[0], shape[1], width]);
                }
                output.flat().expect("the output is whole")
            }
        };
        if self.seed.is_none() {
            assert!(values.iter().all(|y| y.is_finite()), "not finite");
        }
        assert_eq!(pass.state().h_shape(), network.zero_state(pass.state().batch()).unwrap().h_shape());

        let back = self.back.as_ref()?;
        let (network, params) = &networks[if back.other { 1 - which } else { which }];
        let other = match &back.input {
            Some(other) => Some(other.data(network.config().batch_first, network.input_size(), widest)?),
            None => None,
        };
        let input = other.as_ref().unwrap_or(&data).input()?;
        let d_output = match &back.d_output {
            Some(other) => other.data(network.config().batch_first, network.output_size(), widest)?,
            None => fitting(&data, network.output_size()),
        };
        let d_state = match &back.d_state {
            Some(d_state) => Some(d_state.state(&both, batch, widest)?),
            None => None,
        };
        let args = BackwardArgs {
            input,
            state: state.as_ref(),
            d_output: d_output.input()?,
            d_state_n: d_state.as_ref(),
            wants_d_input: back.d_input,
            wants_d_state_0: back.d_state_0,
        };
        let mut gradients = networks[usize::from(back.other_params)].1.zeros_like();
        check(network.backward(params, args, &mut gradients, pass, threads))?;
        if back.d_input {
            match &data.packed {
                Some(packed) => assert!(pass.packed_d_input().unwrap().batch_sizes().eq(packed.batch_sizes())),
                None => assert_eq!(pass.d_input().unwrap().shape()[2], network.input_size()),
            }
        }
        if back.twice {
            let again = network.backward(params, args, &mut gradients, pass, threads);
            tell(&again.expect_err("a pass serves one backward run"));
        }
        Some(())
    }
}

fuzz_target!(|input: Input| {
    let [a, b] = input.networks.each_ref().map(|settings| network(settings.config()));
    // With one that is refused, the other stands in for it.
    let networks = match (a, b) {
        (Some(a), Some(b)) => [a, b],
        (Some(one), None) | (None, Some(one)) => [one.clone(), one],
        (None, None) => return,
    };
    let mut pass = RecurrentWorkspace::default();
    for call in input.calls.iter().take(6) {
        call.run(&networks, &mut pass);
    }
});

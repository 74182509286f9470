//! What names and shapes tell of recurrent layers behind a prefix, rule by rule.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeBounds;

use super::description::{CellKind, Description, Shapes};
use super::names::{Leaf, Role, TensorPlace, elsewhere, name, prefixes, resolve, roles, weight};
use super::quote::{one_of, quote};
use super::tensors::TensorFile;
use crate::error::Result;

/// Reads off names and shapes what the recurrent layers behind `prefix` are (a final dot that is missing is added).
/// Without a prefix they are those at the root of the file or, where it has none there, those behind the only prefix
/// that has any. `kind` is what they are to be, or `None` where the shapes are to tell.
///
/// ```no_run
/// use elman::format::{TensorFile, describe};
///
/// let file = TensorFile::open("model.safetensors")?;
/// let description = describe(&file, None, None)?;
/// println!("{} of {} layers", description.kind, description.hidden_sizes.len());
/// # Ok::<(), elman::Error>(())
/// ```
///
/// # Errors
/// [`Error::Weights`](crate::Error::Weights) with everything that does not fit: no recurrent weights behind the prefix, or behind several
/// where none was given; a tensor that is missing, unused, or of another shape than those before it ask for; layers
/// whose numbers leave one out; a size of 0; rows that are of no cell, or of another than `kind`; a projection that is
/// no LSTM's or not smaller than H.
pub fn describe(file: &TensorFile, prefix: Option<&str>, kind: Option<CellKind>) -> Result<Description> {
    let refuse = |problem| file.weights(vec![problem]);
    let prefix = match prefix {
        Some(prefix) => resolve(file, prefix),
        None => match prefixes(file)[..] {
            ["", ..] => String::new(),
            [only] => only.into(),
            [_, ..] => return Err(refuse(format!("{}; choose one of these prefixes", elsewhere(file)))),
            [] => return Err(refuse(format!("{}, such as weight_ih_l0 or rnn.weight_ih_l0", elsewhere(file)))),
        },
    };
    let has_weights = file.behind(&prefix).any(|info| weight(info.name).is_some_and(|(at, _)| at == prefix));
    if !has_weights {
        let elsewhere = elsewhere(file);
        return Err(refuse(format!("prefix '{}': no recurrent weights are behind it; {elsewhere}", quote(&prefix))));
    }
    Survey::of(file, prefix).describe(kind).map_err(|problems| file.weights(problems))
}

/// What ends the names of weights that fastai's `WeightDropout` drops connections of.
const RAW: &str = "_raw";

/// One text for every weight that is fastai's: the true one of a weight of these layers, which lies beside them, or
/// around their `module`. The weight under the plain name, where there is one, is a copy with connections dropped.
fn raw(file: &TensorFile, prefix: &str) -> Vec<String> {
    let around = prefix.strip_suffix("module.");
    let places = std::iter::once(prefix).chain(around);
    let raws = places.flat_map(|place| file.behind(place).map(move |info| (info.name, &info.name[place.len()..])));
    let weights = raws.filter_map(|(name, rest)| Some((name, rest.strip_suffix(RAW)?)));
    let text = |(name, weight): (&str, &str)| {
        let (raw, plain) = (quote(name), quote(&format!("{prefix}{weight}")));
        format!("{raw}: this is the true weight that fastai drops connections of; rename it to {plain} to have it read")
    };
    weights.filter(|(_, weight)| Leaf::of(weight).is_some()).map(text).collect()
}

/// The shapes of a layer's tensors, by direction and role.
type LayerShapes<'a> = [[Option<&'a [usize]>; Role::ALL.len()]; 2];

/// The recurrent layers behind a prefix, sorted by what the names say.
struct Survey<'a> {
    prefix: String,
    unnumbered: bool,
    layers: BTreeMap<usize, LayerShapes<'a>>,
    /// Layers whose number is too large to be one, as they are spelled, with one of their tensors.
    beyond: BTreeMap<&'a str, &'a str>,
    unused: Vec<&'a str>,
    problems: Vec<String>,
}

/// The tensors of these layers, in the order of layers, directions and roles.
fn places<'a>(
    layers: &BTreeMap<usize, LayerShapes<'a>>,
    range: impl RangeBounds<usize>,
) -> impl Iterator<Item = (TensorPlace, &'a [usize])> {
    layers.range(range).flat_map(|(&layer, directions)| {
        directions.iter().enumerate().flat_map(move |(direction, shapes)| {
            let place = move |role| TensorPlace { role, layer, direction };
            Role::ALL.into_iter().zip(shapes).filter_map(move |(role, shape)| Some((place(role), (*shape)?)))
        })
    })
}

impl<'a> Survey<'a> {
    fn of(file: &'a TensorFile, prefix: String) -> Self {
        let (mut layers, mut beyond, mut unused) = (BTreeMap::<_, LayerShapes<'_>>::new(), BTreeMap::new(), Vec::new());
        // What is behind one more dot is another module's.
        let inside = || {
            let behind = file.behind(&prefix).map(|info| (info, &info.name[prefix.len()..]));
            behind.filter(|(_, rest)| !rest.contains('.')).map(|(info, rest)| (info, Leaf::of(rest)))
        };
        let unnumbered = !inside().any(|(_, leaf)| leaf.is_some_and(|leaf| leaf.layer.is_some()));
        for (info, leaf) in inside() {
            let Some(leaf) = leaf.filter(|leaf| unnumbered || leaf.layer.is_some()) else {
                unused.push(info.name);
                continue;
            };
            let spelled = leaf.layer.unwrap_or("0");
            match spelled.parse::<usize>() {
                Ok(layer) => {
                    let shapes = &mut layers.entry(layer).or_default()[usize::from(leaf.reverse)];
                    shapes[leaf.role as usize] = Some(info.shape);
                }
                Err(_) => _ = beyond.entry(spelled).or_insert(info.name),
            }
        }
        let problems = raw(file, &prefix);
        unused.retain(|name| !name.ends_with(RAW));
        Self { prefix, unnumbered, layers, beyond, unused, problems }
    }

    fn describe(mut self, asked: Option<CellKind>) -> std::result::Result<Description, Vec<String>> {
        let directions = if self.places().any(|(place, _)| place.direction == 1) { 2 } else { 1 };
        let bias = self.places().any(|(place, _)| matches!(place.role, Role::BiasIh | Role::BiasHh));
        let projection = self.places().map(|(place, _)| place).find(|place| place.role == Role::WeightHr);
        let projected = projection.is_some();
        let proj = if projected { self.proj() } else { Some(0) };
        let kind = self.kind(asked, projected);
        if let (Some(place), Some(kind @ (CellKind::Rnn | CellKind::Gru))) = (projection, kind) {
            self.tell(place, format_args!("unused, only an lstm has a projection and this is of cell {kind}"));
        }

        let numbers: Vec<_> = self.layers.keys().copied().collect();
        let (mut next, mut reads, mut input_size, mut hidden_sizes) = (0, None, None, Vec::new());
        for layer in numbers {
            if layer != next {
                let first = places(&self.layers, layer..=layer).next();
                if let Some((place, _)) = first {
                    self.leaves_out(&name(&self.prefix, self.unnumbered, place), next, &layer.to_string());
                }
                reads = None;
            }
            let hidden = self.hidden(layer, projected);
            let out = if projected { proj } else { hidden };
            let own = self.columns(layer, Role::WeightIh);
            let input = reads.or(own.map(|(_, columns)| columns));
            if let (0, Some((place, 0))) = (layer, own) {
                self.size_of_0(place, "input_size");
            }
            if layer == 0 {
                input_size = input;
            }
            let rows = kind.zip(hidden).map(|(kind, hidden)| kind.rows(hidden));
            let shapes = Shapes { rows, input, out, proj, hidden };
            for direction in 0..directions {
                for role in roles(bias, projected) {
                    self.check(TensorPlace { role, layer, direction }, shapes.of(role));
                }
            }
            if let (true, Some(proj), Some(hidden)) = (projected, proj, hidden)
                && proj >= hidden
            {
                let place = TensorPlace { role: Role::WeightHr, layer, direction: 0 };
                self.tell(place, format_args!("expected proj_size < hidden_size, got {proj} and {hidden}"));
            }
            hidden_sizes.extend(hidden);
            reads = out.map(|out| out.saturating_mul(directions));
            next = layer.saturating_add(1);
        }
        for (spelled, tensor) in std::mem::take(&mut self.beyond) {
            self.leaves_out(&quote(tensor), next, spelled);
        }
        let unused = self.unused.iter().map(|name| format!("{}: unused, no recurrent layer has it", quote(name)));
        self.problems.extend(unused);

        match (kind, input_size, proj) {
            (Some(kind), Some(input_size), Some(proj_size)) if self.problems.is_empty() => Ok(Description {
                kind,
                prefix: self.prefix,
                input_size,
                hidden_sizes,
                bidirectional: directions == 2,
                bias,
                proj_size,
                unnumbered: self.unnumbered,
            }),
            // What is not known has been told of: its tensor is missing, or has other dimensions.
            _ => Err(self.problems),
        }
    }

    /// Every tensor there is.
    fn places(&self) -> impl Iterator<Item = (TensorPlace, &'a [usize])> {
        places(&self.layers, ..)
    }

    /// The columns of a layer's weight, and whose they are: the first that is a matrix.
    fn columns(&self, layer: usize, role: Role) -> Option<(TensorPlace, usize)> {
        let directions = self.layers.get(&layer)?;
        directions.iter().enumerate().find_map(|(direction, shapes)| match shapes[role as usize] {
            Some(&[_, columns]) => Some((TensorPlace { role, layer, direction }, columns)),
            _ => None,
        })
    }

    /// H of a layer, without a word where it is 0.
    fn quiet_hidden(&self, layer: usize, projected: bool) -> Option<usize> {
        let role = if projected { Role::WeightHr } else { Role::WeightHh };
        self.columns(layer, role).map(|(_, hidden)| hidden).filter(|&hidden| hidden > 0)
    }

    /// H of a layer.
    fn hidden(&mut self, layer: usize, projected: bool) -> Option<usize> {
        let role = if projected { Role::WeightHr } else { Role::WeightHh };
        if let Some((place, 0)) = self.columns(layer, role) {
            self.size_of_0(place, "hidden_size");
        }
        self.quiet_hidden(layer, projected)
    }

    /// P, as the first matrix of a projection has it.
    fn proj(&mut self) -> Option<usize> {
        let (place, rows) = self.places().find_map(|(place, shape)| match (place.role, shape) {
            (Role::WeightHr, &[rows, _]) => Some((place, rows)),
            _ => None,
        })?;
        if rows == 0 {
            self.size_of_0(place, "proj_size");
            return None;
        }
        Some(rows)
    }

    /// The cell that the first `weight_hh` of any cell has, or the one that was asked for.
    fn kind(&mut self, asked: Option<CellKind>, projected: bool) -> Option<CellKind> {
        let measured = |(place, shape): (TensorPlace, &'a [usize])| match *shape {
            [rows, columns] if place.role == Role::WeightHh => {
                Some((place, rows, columns, self.quiet_hidden(place.layer, projected)?))
            }
            _ => None,
        };
        let told =
            self.places().filter_map(measured).find_map(|weight| Some((weight, CellKind::of(weight.1, weight.3)?)));
        let first = self.places().find_map(measured);
        match (asked, told, first) {
            (Some(asked), Some(((place, rows, columns, hidden), told)), _) if asked != told => {
                let (expected, got) = ([asked.rows(hidden), columns], [rows, columns]);
                self.tell(place, format_args!("expected {expected:?} of cell {asked}, got {got:?} of cell {told}"));
                Some(told)
            }
            (_, Some((_, told)), _) => Some(told),
            (Some(asked), None, _) => Some(asked),
            (None, None, Some((place, rows, columns, hidden))) => {
                let kinds = if projected { &[CellKind::Lstm][..] } else { &CellKind::ALL };
                let shape = |kind: &CellKind| format!("{:?} of cell {kind}", [kind.rows(hidden), columns]);
                let expected = kinds.iter().map(shape).collect::<Vec<_>>();
                let expected = one_of(&expected.iter().map(|shape| &shape[..]).collect::<Vec<_>>());
                let got = [rows, columns];
                self.tell(place, format_args!("expected {expected}, got {got:?}; say which cell it is"));
                None
            }
            (None, None, None) => None,
        }
    }

    /// That the tensor is there and has the shape, where that is known; otherwise, as many dimensions.
    fn check(&mut self, place: TensorPlace, expected: Option<Vec<usize>>) {
        let got = self.layers.get(&place.layer).and_then(|layer| layer[place.direction][place.role as usize]);
        let dimensions = if matches!(place.role, Role::BiasIh | Role::BiasHh) { 1 } else { 2 };
        match (expected, got) {
            (Some(expected), None) => self.tell(place, format_args!("missing, expected {expected:?}")),
            (None, None) => self.tell(place, format_args!("missing")),
            (Some(expected), Some(got)) if expected != got => {
                let got = quote(&format!("{got:?}"));
                self.tell(place, format_args!("expected {expected:?}, got {got}"));
            }
            (None, Some(got)) if got.len() != dimensions => {
                let (plural, got) = (if dimensions == 1 { "" } else { "s" }, quote(&format!("{got:?}")));
                self.tell(place, format_args!("expected {dimensions} dimension{plural}, got {got}"));
            }
            _ => {}
        }
    }

    fn size_of_0(&mut self, place: TensorPlace, size: &str) {
        let shape = self.layers[&place.layer][place.direction][place.role as usize].unwrap_or_default();
        self.tell(place, format_args!("expected {size} of at least 1, got {shape:?}"));
    }

    fn leaves_out(&mut self, tensor: &str, expected: usize, got: &str) {
        let got = quote(got);
        let problem = format!("{tensor}: expected layer {expected} next, as none is left out, got layer {got}");
        self.problems.push(problem);
    }

    fn tell(&mut self, place: TensorPlace, problem: fmt::Arguments<'_>) {
        self.problems.push(format!("{}: {problem}", name(&self.prefix, self.unnumbered, place)));
    }
}

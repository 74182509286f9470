//! PyTorch's names of recurrent weights: read, written, and looked for.

use std::collections::BTreeSet;

use super::quote::quote;
use super::tensors::TensorFile;

/// The prefix with the dot that ends it, where names of the file go on with one, or as it is where they go on without
/// (`enc_`).
pub(super) fn resolve(file: &TensorFile, prefix: &str) -> String {
    let dotted = format!("{prefix}.");
    let as_it_is = prefix.is_empty()
        || prefix.ends_with('.')
        || file.behind(&dotted).next().is_none() && file.behind(prefix).next().is_some();
    if as_it_is { prefix.into() } else { dotted }
}

/// Where the file has recurrent weights, for a message.
pub(super) fn elsewhere(file: &TensorFile) -> String {
    const MOST: usize = 12;
    let prefixes = prefixes(file);
    if prefixes.is_empty() {
        return "the file has no recurrent weights".into();
    }
    let named = |prefix: &&str| match *prefix {
        "" => "'' (the root)".into(),
        prefix => format!("'{}'", quote(prefix)),
    };
    let mut names: Vec<_> = prefixes.iter().take(MOST).map(named).collect();
    if prefixes.len() > MOST {
        names.push(format!("{} more", prefixes.len() - MOST));
    }
    format!("the file has recurrent weights behind {}", names.join(", "))
}

/// Where a file has recurrent weights: every prefix, with its final dot or underscore, behind which there is a
/// `weight_ih` or `weight_hh` of a layer or a cell, in alphabetical order. Empty for the root of the file. Whether they
/// are whole is for [`describe`](super::describe) to tell.
#[must_use]
pub fn prefixes(file: &TensorFile) -> Vec<&str> {
    let prefixes: BTreeSet<_> = file.names().filter_map(|name| weight(name).map(|(prefix, _)| prefix)).collect();
    prefixes.into_iter().collect()
}

/// The prefix and the rest of a `weight_ih` or `weight_hh`'s name. What comes before ends in a dot or an underscore.
pub(super) fn weight(name: &str) -> Option<(&str, Leaf<'_>)> {
    let at = [Role::WeightIh, Role::WeightHh].into_iter().filter_map(|role| name.rfind(role.name())).max()?;
    let (prefix, leaf) = name.split_at(at);
    let ends = prefix.is_empty() || prefix.ends_with(['.', '_']);
    ends.then(|| Leaf::of(leaf)).flatten().map(|leaf| (prefix, leaf))
}

/// What a tensor is for, in PyTorch's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    WeightIh,
    WeightHh,
    BiasIh,
    BiasHh,
    WeightHr,
}

impl Role {
    pub(super) const ALL: [Role; 5] = [Role::WeightIh, Role::WeightHh, Role::BiasIh, Role::BiasHh, Role::WeightHr];

    fn name(self) -> &'static str {
        match self {
            Role::WeightIh => "weight_ih",
            Role::WeightHh => "weight_hh",
            Role::BiasIh => "bias_ih",
            Role::BiasHh => "bias_hh",
            Role::WeightHr => "weight_hr",
        }
    }
}

/// The tensors that a direction of a layer has.
pub(super) fn roles(bias: bool, projected: bool) -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(move |role| match role {
        Role::WeightIh | Role::WeightHh => true,
        Role::BiasIh | Role::BiasHh => bias,
        Role::WeightHr => projected,
    })
}

/// What a name says behind its prefix.
pub(super) struct Leaf<'a> {
    pub(super) role: Role,
    /// The layer's number as it is spelled; none of a cell.
    pub(super) layer: Option<&'a str>,
    pub(super) reverse: bool,
}

impl<'a> Leaf<'a> {
    pub(super) fn of(name: &'a str) -> Option<Self> {
        let (role, rest) = Role::ALL.into_iter().find_map(|role| Some((role, name.strip_prefix(role.name())?)))?;
        if rest.is_empty() {
            // `torch.nn.LSTMCell` has no projection.
            return (role != Role::WeightHr).then_some(Self { role, layer: None, reverse: false });
        }
        let rest = rest.strip_prefix("_l")?;
        let (layer, reverse) = rest.strip_suffix("_reverse").map_or((rest, false), |layer| (layer, true));
        let digits = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
        let plain = layer == "0" || !layer.starts_with('0');
        (digits && plain).then_some(Self { role, layer: Some(layer), reverse })
    }
}

/// A tensor's place among the layers; `direction` is 1 for the reverse.
#[derive(Clone, Copy)]
pub(super) struct TensorPlace {
    pub(super) role: Role,
    pub(super) layer: usize,
    pub(super) direction: usize,
}

/// What the tensor of that place is called.
pub(super) fn plain_name(
    prefix: &str,
    unnumbered: bool,
    TensorPlace { role, layer, direction }: TensorPlace,
) -> String {
    let role = role.name();
    match (unnumbered, direction) {
        (true, _) => format!("{prefix}{role}"),
        (false, 0) => format!("{prefix}{role}_l{layer}"),
        (false, _) => format!("{prefix}{role}_l{layer}_reverse"),
    }
}

/// The same for a message.
pub(super) fn name(prefix: &str, unnumbered: bool, place: TensorPlace) -> String {
    quote(&plain_name(prefix, unnumbered, place))
}

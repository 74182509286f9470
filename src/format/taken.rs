//! What was made of a file whose names do not say it all.

use std::fmt;

use super::LoadOptions;

/// What was made of a file, and how it is to be loaded. Its text is one line, such as `taken: lstm (2 layers), then fc
/// 64 → 1 at every step, no activation: the file names none`.
///
/// ```
/// use elman::format::{NO_METADATA, TensorFile, tensors_to_bytes};
/// use elman::{Model, ModelSpec};
///
/// // What PyTorch's LSTMCell of 2 units over 3 features saves.
/// let [ih, hh] = [&[0.0; 4 * 2 * 3][..], &[0.0; 4 * 2 * 2]];
/// let tensors = [("weight_ih", &[8, 3][..], ih), ("weight_hh", &[8, 2], hh)];
/// let file = TensorFile::from_bytes(tensors_to_bytes(&tensors, NO_METADATA)?)?;
///
/// let (spec, taken) = ModelSpec::from_file(&file)?;
/// assert_eq!(taken.to_string(), "taken: lstm (1 layer) at every step");
/// assert_eq!(taken.renamed[0], ("weight_ih".to_string(), "weight_ih_l0".to_string()));
/// let mut model = Model::new(spec)?;
/// file.load_into(&mut model.params_mut(), &taken.load_options())?;
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// The file's names that the model calls otherwise, each with the model's: those of `torch.nn.LSTMCell`, which lack
    /// `_l0`, and those whose prefix ends in an underscore.
    pub renamed: Vec<(String, String)>,
    /// The file's tensors that are not the model's parameters.
    pub left_aside: Vec<String>,
    /// What the file does not say and was assumed.
    pub assumed: Vec<Assumed>,
    line: String,
}

/// What a state dict does not say, and is assumed where nothing in the file says otherwise.
///
/// ```
/// use elman::ModelSpec;
/// use elman::format::{Assumed, NO_METADATA, TensorFile, tensors_to_bytes};
///
/// // torch.nn.RNN(3, 4, bias=False)
/// let [ih, hh] = [&[0.0; 4 * 3][..], &[0.0; 4 * 4]];
/// let tensors = [("weight_ih_l0", &[4, 3][..], ih), ("weight_hh_l0", &[4, 4], hh)];
/// let file = TensorFile::from_bytes(tensors_to_bytes(&tensors, NO_METADATA)?)?;
/// let (_, taken) = ModelSpec::from_file(&file)?;
/// assert_eq!(taken.assumed, [Assumed::Tanh]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Assumed {
    /// An Elman network's nonlinearity is tanh, PyTorch's default.
    Tanh,
    /// The linear layer takes the recurrent network's output at every step, without an activation before or after it.
    LinearAtEveryStep,
}

impl Taken {
    pub(crate) fn new(line: String, renamed: Vec<(String, String)>, left_aside: Vec<String>) -> Self {
        Self { renamed, left_aside, assumed: Vec::new(), line }
    }

    pub(crate) fn assuming(self, assumed: Vec<Assumed>) -> Self {
        Self { assumed, ..self }
    }

    /// How the file's tensors are loaded into the model's parameters.
    #[must_use]
    pub fn load_options(&self) -> LoadOptions {
        let mut options = LoadOptions::new();
        options.rename = self.renamed.clone();
        options.left_aside = self.left_aside.clone();
        options
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

//! Streams: one step, or a block of them, at a time.
#![allow(unsafe_code)]

use std::slice;

use elman::{State, Stream};

use crate::border::{Answer, Refused, answer, refuse};
use crate::handle::{Content, Handle, collect, null};
use crate::model::{ElmanModel, content, out};
use crate::status::ElmanStatus;
use crate::{entry, same_signatures};

/// A row that goes through a model step by step, with a state of its own: a channel, a voice, a sensor.
pub struct ElmanStream {
    _opaque: [u8; 0],
}

/// What an [`ElmanStream`] is.
struct StreamContent {
    stream: Stream,
    inputs: usize,
    outputs: usize,
    /// How many indices the first layer knows; 0 where it takes features.
    vocabulary: usize,
    /// The longest block.
    max_frames: usize,
    /// The input of such a block, row-major, where it cannot be read from where it is.
    x: Vec<f32>,
    /// Its output, where it cannot be written to where it shall be.
    y: Vec<f32>,
    /// A state on its way to or from C.
    state: State,
}

impl Content for StreamContent {
    type Opaque = ElmanStream;
    const ALIVE: u64 = u64::from_le_bytes(*b"elstream");
    const NAME: &'static str = "stream";
}

/// A stream over the model, which it keeps alive, in the model's own first state or in zeros. `*stream` receives the
/// handle; NULL where the call fails. All memory of a step is allocated and touched here.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_stream_new(model: *const ElmanModel, stream: *mut *mut ElmanStream) -> ElmanStatus {
    entry!(new(model, stream))
}

unsafe extern "C" fn new(model: *const ElmanModel, stream: *mut *mut ElmanStream) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises that it can be written.
        let place = unsafe { out("stream", stream)? };
        *place = std::ptr::null_mut();
        collect();
        // SAFETY: C promises a handle that is not collected.
        let model = unsafe { content(model)? };
        let stream = Stream::new(model.model.clone())?;
        let (inputs, outputs) = (model.model.inputs(), model.model.outputs());
        let state = stream.state()?;
        let (x, y) = (room("x", 1, inputs)?, room("y", 1, outputs)?);
        let vocabulary = model.vocabulary;
        let mut content = StreamContent { stream, inputs, outputs, vocabulary, max_frames: 1, x, y, state };
        content.touch();
        *place = Handle::allocate(content);
        Ok(())
    })
}

/// Frees the stream and sets `*stream` to NULL. Its memory is freed by the next `elman_collect`.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_stream_free(stream: *mut *mut ElmanStream) -> ElmanStatus {
    entry!(free(stream))
}

unsafe extern "C" fn free(stream: *mut *mut ElmanStream) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises that it can be written, and a handle that no other call uses.
        unsafe {
            let stream = out("stream", stream)?;
            Handle::<StreamContent>::retire(*stream)?;
            *stream = std::ptr::null_mut();
        }
        Ok(())
    })
}

/// Makes room for blocks of up to `max_frames` steps, at least 1; a new stream has room for 1. The state stays.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_prepare(stream: *mut ElmanStream, max_frames: usize) -> ElmanStatus {
    entry!(prepare(stream, max_frames))
}

unsafe extern "C" fn prepare(stream: *mut ElmanStream, max_frames: usize) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that no other call uses.
        let it = unsafe { exclusive(stream)? };
        if max_frames == 0 {
            return Err(refuse(ElmanStatus::Length, "max_frames: expected at least 1, got 0"));
        }
        let (x, y) = (room("x", max_frames, it.inputs)?, room("y", max_frames, it.outputs)?);
        (it.max_frames, it.x, it.y) = (max_frames, x, y);
        Ok(())
    })
}

/// One step: `x` holds the input's features, `y` receives the output's. They may be the same memory.
///
/// For a model that begins with an embedding `x` is one whole number, the index.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_step(
    stream: *mut ElmanStream,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
) -> ElmanStatus {
    entry!(step(stream, x, x_len, y, y_len))
}

unsafe extern "C" fn step(
    stream: *mut ElmanStream,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that no other call uses.
        let it = unsafe { exclusive(stream)? };
        check(x.is_null(), "x", x_len, it.inputs)?;
        check(y.is_null(), "y", y_len, it.outputs)?;
        let StreamContent { stream, x: copy, .. } = it;
        // SAFETY: C promises that so many numbers can be read at `x`, for this call.
        let x = unsafe { apart(copy, x, x_len, y, y_len) };
        check_indices(it.vocabulary, x)?;
        // SAFETY: C promises that so many numbers can be written at `y`, for this call; `x` is elsewhere.
        let y = unsafe { slice::from_raw_parts_mut(y, y_len) };
        Ok(stream.step(x, y)?)
    })
}

/// One step of a model that begins with an embedding.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_step_index(
    stream: *mut ElmanStream,
    index: u32,
    y: *mut f32,
    y_len: usize,
) -> ElmanStatus {
    entry!(step_index(stream, index, y, y_len))
}

unsafe extern "C" fn step_index(stream: *mut ElmanStream, index: u32, y: *mut f32, y_len: usize) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that no other call uses.
        let it = unsafe { exclusive(stream)? };
        check(y.is_null(), "y", y_len, it.outputs)?;
        if it.vocabulary == 0 {
            let sentence = "stream: expected a model whose first layer is an embedding, got another";
            return Err(refuse(ElmanStatus::Setting, sentence));
        }
        if index as usize >= it.vocabulary {
            let sentence = format_args!("index: expected 0 to {}, got {index}", it.vocabulary - 1);
            return Err(refuse(ElmanStatus::Value, sentence));
        }
        // SAFETY: C promises that so many numbers can be written at `y`, for this call.
        let y = unsafe { slice::from_raw_parts_mut(y, y_len) };
        Ok(it.stream.step_index(index, y)?)
    })
}

/// `frames` steps, at least 1 and at most what `elman_prepare` was given. Planar: `x[feature]` points to `frames` numbers,
/// and so does `y[feature]`; there are as many pointers as the model has inputs and outputs. All of `x` is read before
/// any of `y` is written, so they may be the same memory. What as many calls of `elman_step` would give, in less time.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_block(
    stream: *mut ElmanStream,
    x: *const *const f32,
    x_channels: usize,
    y: *const *mut f32,
    y_channels: usize,
    frames: usize,
) -> ElmanStatus {
    entry!(block(stream, x, x_channels, y, y_channels, frames))
}

unsafe extern "C" fn block(
    stream: *mut ElmanStream,
    x: *const *const f32,
    x_channels: usize,
    y: *const *mut f32,
    y_channels: usize,
    frames: usize,
) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that no other call uses.
        let it = unsafe { exclusive(stream)? };
        check(x.is_null(), "x", x_channels, it.inputs)?;
        check(y.is_null(), "y", y_channels, it.outputs)?;
        if frames == 0 || frames > it.max_frames {
            let most = it.max_frames;
            let sentence = format_args!("frames: expected 1 to {most}, as elman_prepare was given, got {frames}");
            return Err(refuse(ElmanStatus::Length, sentence));
        }
        // SAFETY: C promises so many pointers, for this call.
        let (x, y) = unsafe { (slice::from_raw_parts(x, x_channels), slice::from_raw_parts(y, y_channels)) };
        if x.iter().any(|x| x.is_null()) {
            return Err(null("x[..]"));
        }
        if y.iter().any(|y| y.is_null()) {
            return Err(null("y[..]"));
        }
        let StreamContent { stream, x: x_copy, y: y_copy, .. } = it;
        let x = match x {
            // SAFETY: C promises that `frames` numbers can be read there, for this call.
            &[x] if y.len() == 1 => unsafe { apart(x_copy, x, frames, y[0], frames) },
            x => {
                // SAFETY: as above, of each.
                unsafe { interleave(x_copy, x, frames) }
            }
        };
        check_indices(it.vocabulary, x)?;
        if let &[y] = y {
            // SAFETY: C promises that `frames` numbers can be written there, for this call; `x` is elsewhere.
            return Ok(stream.block(x, unsafe { slice::from_raw_parts_mut(y, frames) })?);
        }
        let rows = &mut y_copy[..frames * y.len()];
        stream.block(x, rows)?;
        for (feature, &channel) in y.iter().enumerate() {
            for (t, row) in rows.chunks_exact(y.len()).enumerate() {
                // SAFETY: C promises that `frames` numbers can be written there, and t is less.
                unsafe { channel.add(t).write(row[feature]) };
            }
        }
        Ok(())
    })
}

/// Goes back to the state in which the stream began.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_reset(stream: *mut ElmanStream) -> ElmanStatus {
    entry!(reset(stream))
}

unsafe extern "C" fn reset(stream: *mut ElmanStream) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that no other call uses.
        unsafe { exclusive(stream)? }.stream.reset();
        Ok(())
    })
}

/// Copies the state after the last step to `state`, of `len` numbers, which is the model's state size.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_get_state(stream: *mut ElmanStream, state: *mut f32, len: usize) -> ElmanStatus {
    entry!(get_state(stream, state, len))
}

unsafe extern "C" fn get_state(stream: *mut ElmanStream, state: *mut f32, len: usize) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that no other call uses.
        let it = unsafe { exclusive(stream)? };
        check_state(state.is_null(), "state", &it.state, len)?;
        it.stream.state_into(&mut it.state)?;
        // SAFETY: C promises that `len` numbers can be written there, for this call.
        let to = unsafe { slice::from_raw_parts_mut(state, len) };
        let (h, c) = to.split_at_mut(it.state.h().len());
        h.copy_from_slice(it.state.h());
        c.copy_from_slice(it.state.c());
        Ok(())
    })
}

/// Goes on from `state`, of `len` numbers, as `elman_get_state` gave it for a stream over the same model.
/// ELMAN_STATUS_SHAPE where the length is that of another model; the stream is then as it was.
#[unsafe(no_mangle)]
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), unsafe(naked))]
pub unsafe extern "C" fn elman_set_state(stream: *mut ElmanStream, state: *const f32, len: usize) -> ElmanStatus {
    entry!(set_state(stream, state, len))
}

unsafe extern "C" fn set_state(stream: *mut ElmanStream, state: *const f32, len: usize) -> ElmanStatus {
    answer(|| {
        // SAFETY: C promises a handle that no other call uses.
        let it = unsafe { exclusive(stream)? };
        check_state(state.is_null(), "state", &it.state, len)?;
        // SAFETY: C promises that `len` numbers can be read there, for this call.
        fill_state(&mut it.state, unsafe { slice::from_raw_parts(state, len) });
        Ok(it.stream.set_state(&it.state)?)
    })
}

same_signatures!(
    elman_stream_new = new,
    elman_stream_free = free,
    elman_prepare = prepare,
    elman_step = step,
    elman_step_index = step_index,
    elman_block = block,
    elman_reset = reset,
    elman_get_state = get_state,
    elman_set_state = set_state,
);

impl StreamContent {
    /// Runs what the callback will run: its code and memory are then there. The state stays as a new stream's is.
    fn touch(&mut self) {
        let Self { stream, x, y, state, .. } = self;
        // Index 0 of an embedding too.
        for _ in 0..2 {
            // The lengths are those of the model.
            let _ = stream.step(x, y).and_then(|()| stream.block(x, y)).and_then(|()| stream.state_into(state));
            stream.reset();
        }
    }
}

/// Zeros for so many steps, in memory that is touched.
fn room(name: &str, frames: usize, width: usize) -> Answer<Vec<f32>> {
    let len = frames.checked_mul(width).filter(|&len| len <= isize::MAX as usize / size_of::<f32>());
    let Some(len) = len else {
        let sentence = format_args!("max_frames: {frames} steps of {width} numbers cannot be addressed");
        return Err(refuse(ElmanStatus::Overflow, sentence));
    };
    elman::internals::check_memory("max_frames", &[(name, 4 * len as u64)])?;
    let mut room = Vec::new();
    if room.try_reserve_exact(len).is_err() {
        let sentence = format_args!("max_frames: the system refused the memory for {len} numbers of {name}");
        return Err(refuse(ElmanStatus::Memory, sentence));
    }
    room.resize(len, 0.0);
    Ok(room)
}

/// # Safety
/// The pointer is NULL or to a handle that is not collected and that no other call uses.
#[inline]
unsafe fn exclusive<'a>(stream: *mut ElmanStream) -> Answer<&'a mut StreamContent> {
    // SAFETY: passed on.
    unsafe { Handle::<StreamContent>::exclusive(stream) }
}

/// That a pointer is there, and as many numbers as the model has features.
#[inline]
fn check(is_null: bool, name: &str, len: usize, expected: usize) -> Answer {
    if is_null {
        return Err(null(name));
    }
    if len != expected { Err(wrong_length(name, len, expected)) } else { Ok(()) }
}

#[cold]
fn wrong_length(name: &str, len: usize, expected: usize) -> Refused {
    refuse(ElmanStatus::Length, format_args!("{name}: expected {expected}, as the model has, got {len}"))
}

/// That `len` is the state's size.
pub(crate) fn check_state(is_null: bool, name: &str, state: &State, len: usize) -> Answer {
    if is_null {
        return Err(null(name));
    }
    let (h, c) = (state.h().len(), state.c().len());
    if len != h + c {
        let sentence = format_args!("{name}: expected {} numbers (h {h}, c {c}), got {len}", h + c);
        return Err(refuse(ElmanStatus::Shape, sentence));
    }
    Ok(())
}

/// Copies a state of the right length.
pub(crate) fn fill_state(state: &mut State, from: &[f32]) {
    let (h, c) = from.split_at(state.h().len());
    state.h_mut().copy_from_slice(h);
    state.c_mut().copy_from_slice(c);
}

/// That the inputs of a model that begins with an embedding are indices.
#[inline]
fn check_indices(vocabulary: usize, x: &[f32]) -> Answer {
    if vocabulary == 0 {
        return Ok(());
    }
    let wrong = |&&x: &&f32| !(x >= 0.0 && x < vocabulary as f32 && x.fract() == 0.0);
    match x.iter().find(wrong) {
        None => Ok(()),
        Some(x) => {
            let sentence = format_args!("x: expected whole numbers from 0 to {}, got {x}", vocabulary - 1);
            Err(refuse(ElmanStatus::Value, sentence))
        }
    }
}

/// The numbers at `x`, or a copy of them where they lie in what is to be written.
///
/// # Safety
/// `x_len` numbers can be read at `x` for as long as the result is used. `copy` has room for as many.
#[inline]
unsafe fn apart(copy: &mut [f32], x: *const f32, x_len: usize, y: *const f32, y_len: usize) -> &[f32] {
    let bytes = |pointer: *const f32, len: usize| pointer.addr()..pointer.addr().saturating_add(4 * len);
    let (read, written) = (bytes(x, x_len), bytes(y, y_len));
    if read.end <= written.start || written.end <= read.start {
        // SAFETY: the caller's promise; what is written lies elsewhere.
        return unsafe { slice::from_raw_parts(x, x_len) };
    }
    // SAFETY: the caller's promise; the copy is the stream's own memory.
    unsafe { interleave(copy, &[x], x_len) }
}

/// Copies planar numbers, row-major: step by step.
///
/// # Safety
/// `frames` numbers can be read at each of `x`. `copy` has room for all of them.
unsafe fn interleave<'a>(copy: &'a mut [f32], x: &[*const f32], frames: usize) -> &'a [f32] {
    let copy = &mut copy[..frames * x.len()];
    for (feature, &channel) in x.iter().enumerate() {
        for (t, row) in copy.chunks_exact_mut(x.len()).enumerate() {
            // SAFETY: the caller's promise, and t is less than `frames`.
            row[feature] = unsafe { channel.add(t).read() };
        }
    }
    copy
}

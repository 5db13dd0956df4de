//! Device memory: allocation, upload, reading back.

use std::sync::mpsc;
use std::time::Duration;

use super::device::Gpu;
use crate::error::{Error, Result};

/// A range of device memory. Cheap to clone: clones share the memory, which is freed with the last.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub(super) raw: wgpu::Buffer,
    label: String,
}

impl Buffer {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.raw.size()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn from_raw(raw: wgpu::Buffer, label: &str) -> Buffer {
        Buffer { raw, label: label.to_owned() }
    }

    /// The whole buffer as a binding.
    pub fn whole(&self) -> Slice {
        Slice { buffer: self.clone(), offset: 0, len: self.len() }
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Buffer) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Buffer {}

impl std::hash::Hash for Buffer {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}

/// A part of a buffer, as bound to a kernel. Offsets and lengths in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    pub buffer: Buffer,
    pub offset: u64,
    pub len: u64,
}

/// The largest piece that goes to the driver at once, and the most that may wait there.
const UPLOAD_PIECE: usize = 8 << 20;
const UPLOAD_PENDING_MAX: usize = 32 << 20;

impl Gpu {
    /// Allocates `len` bytes (rounded up to 16) for kernels to read and write, zeroed.
    pub fn buffer(&self, label: &str, len: u64) -> Result<Buffer> {
        let len = len.max(16).next_multiple_of(16);
        let most = self.caps().buffer_bytes_max;
        if len > most {
            return Err(Error::OutOfMemory {
                need: len,
                have: Some(most),
                advice: format!("{label} is larger than the largest buffer of this device"),
            });
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: len,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST
                | wgpu::BufferUsages::INDIRECT,
            mapped_at_creation: false,
        };
        let raw = self.checked(label, len, || self.device().create_buffer(&descriptor))?;
        Ok(Buffer { raw, label: label.to_owned() })
    }

    /// Allocates a buffer that holds `data`.
    pub fn buffer_with(&self, label: &str, data: &[u8]) -> Result<Buffer> {
        let buffer = self.buffer(label, data.len() as u64)?;
        self.upload(&buffer, 0, data)?;
        Ok(buffer)
    }

    /// Writes `data` before the next submission. `offset` and the length are multiples of 4.
    pub fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) {
        self.queue().write_buffer(&buffer.raw, offset, data);
    }

    /// Writes much data in pieces, so that the driver never holds more than a few of them.
    pub fn upload(&self, buffer: &Buffer, offset: u64, data: &[u8]) -> Result<()> {
        let mut pending = 0;
        for (i, piece) in data.chunks(UPLOAD_PIECE).enumerate() {
            let at = offset + (i * UPLOAD_PIECE) as u64;
            match piece.len() % 4 {
                0 => self.write(buffer, at, piece),
                rest => {
                    // wgpu copies whole words; only the last piece can end inside one.
                    let mut padded = piece.to_vec();
                    padded.resize(piece.len() + 4 - rest, 0);
                    self.write(buffer, at, &padded);
                }
            }
            pending += piece.len();
            if pending >= UPLOAD_PENDING_MAX {
                self.flush_uploads()?;
                pending = 0;
            }
        }
        self.check()
    }

    /// Sends what `write` has collected and waits until the device has it.
    pub fn flush_uploads(&self) -> Result<()> {
        self.queue().submit([]);
        self.wait()
    }

    /// Sends what `write` has collected; does not wait.
    pub fn submit_uploads(&self) {
        self.queue().submit([]);
    }

    /// Reads a buffer back; waits for everything submitted before. `len` in bytes.
    pub fn read(&self, buffer: &Buffer, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut readback = Readback::new(self, len)?;
        let mut encoder = self.device().create_command_encoder(&Default::default());
        readback.record(&mut encoder, &[(buffer.clone(), offset, len)]);
        readback.submitted(self.queue().submit([encoder.finish()]));
        readback.wait(self)
    }
}

/// Memory that the host can read, for results that come back while later steps run.
pub struct Readback {
    raw: wgpu::Buffer,
    len: u64,
    mapped: Option<mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>>,
    submission: Option<wgpu::SubmissionIndex>,
}

impl Readback {
    /// `len` in bytes, rounded up to 4.
    pub fn new(gpu: &Gpu, len: u64) -> Result<Readback> {
        let len = len.max(4).next_multiple_of(4);
        let descriptor = wgpu::BufferDescriptor {
            label: Some("readback"),
            size: len,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        let raw = gpu.checked("readback", len, || gpu.device().create_buffer(&descriptor))?;
        Ok(Readback { raw, len, mapped: None, submission: None })
    }

    /// Copies the parts (buffer, offset, length in bytes) one after another and maps the result once
    /// the submission has run.
    pub(super) fn record(&mut self, encoder: &mut wgpu::CommandEncoder, parts: &[(Buffer, u64, u64)]) {
        let mut at = 0;
        for (buffer, offset, len) in parts {
            encoder.copy_buffer_to_buffer(&buffer.raw, *offset, &self.raw, at, Some(*len));
            at += len;
        }
        let (sender, receiver) = mpsc::channel();
        encoder.map_buffer_on_submit(&self.raw, wgpu::MapMode::Read, 0..self.len, move |mapped| {
            // The receiver is gone when the reader was dropped; nobody waits then.
            let _ = sender.send(mapped);
        });
        self.mapped = Some(receiver);
    }

    pub(super) fn submitted(&mut self, submission: wgpu::SubmissionIndex) {
        self.submission = Some(submission);
    }

    /// Whether the data has arrived. Waits for `timeout` at most.
    pub fn ready(&mut self, gpu: &Gpu, timeout: Duration) -> Result<bool> {
        gpu.poll(match timeout {
            Duration::ZERO => wgpu::PollType::Poll,
            timeout => wgpu::PollType::Wait {
                submission_index: self.submission.clone(),
                timeout: (timeout != Duration::MAX).then_some(timeout),
            },
        })?;
        Ok(match &self.mapped {
            Some(receiver) => match receiver.try_recv() {
                Ok(mapped) => {
                    let (sender, receiver) = mpsc::channel();
                    // Kept for `wait`, which takes the answer once more.
                    let _ = sender.send(mapped);
                    self.mapped = Some(receiver);
                    true
                }
                Err(_) => false,
            },
            None => false,
        })
    }

    /// The data, once the submission it was recorded in has run. The buffer can be used again.
    pub fn wait(&mut self, gpu: &Gpu) -> Result<Vec<u8>> {
        let receiver = self.mapped.take().expect("wait follows record");
        let answer = loop {
            match receiver.try_recv() {
                Ok(answer) => break answer,
                Err(mpsc::TryRecvError::Empty) => gpu.poll(wgpu::PollType::Wait {
                    submission_index: self.submission.clone(),
                    timeout: None,
                })?,
                Err(mpsc::TryRecvError::Disconnected) => {
                    gpu.check()?;
                    return Err(Error::Gpu("a result was dropped by the driver".into()));
                }
            }
        };
        answer.map_err(|error| Error::Gpu(format!("a result cannot be read back: {error}")))?;
        let data = self.raw.slice(0..self.len).get_mapped_range();
        let bytes = match data {
            Ok(data) => data.to_vec(),
            Err(error) => return Err(Error::Gpu(format!("a result cannot be read back: {error}"))),
        };
        self.raw.unmap();
        Ok(bytes)
    }
}

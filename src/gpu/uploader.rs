//! Uploads on a thread of its own, so that the next piece is made meanwhile.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::buffer::Buffer;
use super::device::Gpu;
use super::image::Image;
use crate::error::{Error, Result};

/// Pieces that may wait for the thread.
const QUEUE_LEN: usize = 2;

/// The most that may wait in the driver.
const PENDING_MAX: u64 = 32 << 20;

/// Memory to fill.
#[derive(Clone)]
pub enum Target {
    Buffer(Buffer),
    Image(Image),
}

struct Piece {
    target: Target,
    /// The place of the first word.
    first: usize,
    words: Vec<u32>,
}

/// A thread that uploads what it is given, in order.
pub struct Uploader {
    gpu: Gpu,
    sender: SyncSender<Piece>,
    thread: JoinHandle<Result<f64>>,
}

impl Uploader {
    pub fn new(gpu: &Gpu) -> Result<Uploader> {
        let (sender, receiver) = sync_channel::<Piece>(QUEUE_LEN);
        let own = gpu.clone();
        let gpu = gpu.clone();
        let upload = move || {
            let mut seconds = 0.0;
            let mut pending = 0;
            while let Ok(piece) = receiver.recv() {
                let start = Instant::now();
                match &piece.target {
                    Target::Buffer(buffer) => {
                        gpu.upload(buffer, 4 * piece.first as u64, bytemuck::cast_slice(&piece.words))?;
                    }
                    Target::Image(image) => gpu.upload_image(image, piece.first, &piece.words)?,
                }
                gpu.submit_uploads();
                pending += 4 * piece.words.len() as u64;
                if pending >= PENDING_MAX {
                    gpu.flush_uploads()?;
                    pending = 0;
                }
                seconds += start.elapsed().as_secs_f64();
            }
            Ok(seconds)
        };
        let thread = std::thread::Builder::new().name("aquatint-upload".into()).spawn(upload);
        let thread = thread.map_err(|error| Error::Gpu(format!("cannot start a thread: {error}")))?;
        Ok(Uploader { gpu: own, sender, thread })
    }

    /// Hands over words, whole elements of an image. Waits while too many pieces are ahead.
    pub fn send(&self, target: &Target, first: usize, words: Vec<u32>) -> Result<()> {
        let piece = Piece { target: target.clone(), first, words };
        if self.sender.send(piece).is_ok() {
            return Ok(());
        }
        // The thread ends early only by an error of the device, which stays.
        self.gpu.check()?;
        Err(Error::Gpu("the upload has failed".into()))
    }

    /// Waits until all is with the driver. Returns the seconds that the thread was at work.
    pub fn finish(self) -> Result<f64> {
        drop(self.sender);
        self.thread.join().map_err(|_| Error::Gpu("the driver failed during an upload".into()))?
    }
}

//! The thread that writes: the disk may be slow, the session is not to wait for it. The file begins with the first batch.

use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::recording::{Batch, Place, RecordingError, Thinned, Writer};
use crate::session::SessionError;
use crate::sys::priority;

/// Flushes that may wait for the disk.
const QUEUE: usize = 8;

const NAME: &str = "bw-record";

/// Dropping it waits until it has written what it was given.
pub(super) struct WriterThread {
    sender: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<Result<(), RecordingError>>>,
    thinned: Told,
}

/// What was left out of the file, as the thread tells it.
type Told = Arc<Mutex<Option<Thinned>>>;

impl WriterThread {
    pub(super) fn start(place: Place) -> Result<Self, SessionError> {
        let (sender, batches) = mpsc::sync_channel::<Batch>(QUEUE);
        let thinned = Told::default();
        let told = Arc::clone(&thinned);
        let write = move || {
            // A flush may take a while; the target is not to wait for it.
            priority::make_patient();
            // An attach that fails has no flush, and leaves no file.
            let Ok(first) = batches.recv() else { return Ok(()) };
            let mut writer = place.begin()?;
            for batch in std::iter::once(first).chain(batches) {
                writer.write(&batch)?;
                tell(&told, &writer);
            }
            writer.close()
        };
        let thread = Builder::new().name(NAME.into()).spawn(write);
        let thread = thread.map_err(|source| SessionError::Thread { name: NAME, source })?;
        Ok(Self { sender: Some(sender), thread: Some(thread), thinned })
    }

    /// What was left out of the file, for its limit.
    pub(super) fn thinned(&self) -> Option<Thinned> {
        *self.thinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does not wait: leaves the batch as it is if too many wait for the disk. False if nothing is written any more.
    pub(super) fn offer(&self, batch: &mut Batch) -> bool {
        let Some(sender) = &self.sender else { return false };
        match sender.try_send(std::mem::take(batch)) {
            Ok(()) => true,
            Err(TrySendError::Full(kept)) => {
                *batch = kept;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Writes the last batch, if there is one, and makes it a single file. Waits for the disk.
    pub(super) fn finish(mut self, last: Option<Batch>) -> Result<(), SessionError> {
        if let Some((sender, last)) = self.sender.take().zip(last)
            && sender.send(last).is_err()
        {
            // It says why when it is joined.
            tracing::debug!("the writer had ended");
        }
        self.join()
    }

    fn join(&mut self) -> Result<(), SessionError> {
        self.sender = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome.map_err(SessionError::Recorded),
            Some(Err(_)) => Err(SessionError::Panicked(NAME)),
            None => Ok(()),
        }
    }
}

fn tell(told: &Told, writer: &Writer) {
    *told.lock().unwrap_or_else(PoisonError::into_inner) = writer.thinned();
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::debug!(%error, "the recording ended with an error nobody asked for");
        }
    }
}

//! The thread that writes: the disk may be slow, the session is not to wait for it. The file begins with the first batch.

use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::{Builder, JoinHandle};

use crate::recording::{Batch, Place, RecordingError};
use crate::session::SessionError;

/// Flushes that may wait for the disk.
const QUEUE: usize = 8;

const NAME: &str = "bw-record";

/// Dropping it waits until it has written what it was given.
pub(super) struct WriterThread {
    sender: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<Result<(), RecordingError>>>,
}

impl WriterThread {
    pub(super) fn start(place: Place) -> Result<Self, SessionError> {
        let (sender, batches) = mpsc::sync_channel::<Batch>(QUEUE);
        let write = move || {
            // An attach that fails has no flush, and leaves no file.
            let Ok(first) = batches.recv() else { return Ok(()) };
            let mut writer = place.begin()?;
            writer.write(&first)?;
            for batch in batches {
                writer.write(&batch)?;
            }
            writer.close()
        };
        let thread = Builder::new().name(NAME.into()).spawn(write);
        let thread = thread.map_err(|source| SessionError::Thread { name: NAME, source })?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
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

impl Drop for WriterThread {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::debug!(%error, "the recording ended with an error nobody asked for");
        }
    }
}

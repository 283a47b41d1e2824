//! What was sent to a socket and not yet received.

use super::address::Address;
use crate::fs::description::Description;
use crate::fs::io::Sink;
use crate::fs::socket::Credentials;
use crate::libc::errno::Errno;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of a stream that arrive in small pieces are kept together up to this many.
const PIECE: usize = 16 * 1024;

/// One message, or a piece of a stream.
pub struct Message {
    /// Its bytes.
    pub data: Vec<u8>,
    /// How many of them have been received.
    pub taken: usize,
    /// Open files that came with it.
    pub rights: Vec<Arc<Description>>,
    /// The sender's address.
    pub from: Address,
    /// Who sent it.
    pub credentials: Credentials,
}

/// The messages, and the state of the direction towards the socket.
#[derive(Default)]
pub struct Inbox {
    messages: VecDeque<Message>,
    bytes: usize,
    /// Nothing more will come: the peer is gone or has shut down its sending half.
    pub is_ended: bool,
    /// The owner wants nothing more: it has shut down its receiving half.
    pub is_shut: bool,
}

impl Inbox {
    /// Returns the bytes in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tells whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns the number of messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.bytes += message.data.len();
        self.messages.push_back(message);
    }

    /// Adds a piece of a stream, to the last piece if that may be.
    pub fn push_stream(&mut self, message: Message) {
        if let Some(last) = self.messages.back_mut()
            && message.rights.is_empty()
            && last.rights.is_empty()
            && last.from == message.from
            && last.data.len() + message.data.len() <= PIECE
        {
            self.bytes += message.data.len();
            last.data.extend_from_slice(&message.data);
            return;
        }
        self.push(message);
    }

    /// Returns the next message.
    pub fn front(&self) -> Option<&Message> {
        self.messages.front()
    }

    /// Takes the next message out.
    pub fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.data.len() - message.taken;
        Some(message)
    }

    /// Copies bytes of a stream to `to` and takes them out unless `is_peek`. Stops after a piece
    /// that brings open files, so that those of two pieces are not mixed up (unix(7)).
    ///
    /// Returns the count, and the files of the piece.
    pub fn read_stream(
        &mut self,
        to: &mut dyn Sink,
        is_peek: bool,
    ) -> Result<(usize, Vec<Arc<Description>>), Errno> {
        let mut done = 0;
        let mut rights = Vec::new();
        let mut index = 0;
        // Also for no bytes at all, the first piece's open files are handed over.
        while let Some(message) = self.messages.get_mut(index) {
            let rest = &message.data[message.taken..];
            let count = rest.len().min(to.remaining());
            if let Err(errno) = to.put(&rest[..count]) {
                if done == 0 {
                    return Err(errno);
                }
                break;
            }
            done += count;
            let has_rights = !message.rights.is_empty();
            if has_rights {
                rights = if is_peek {
                    message.rights.clone()
                } else {
                    core::mem::take(&mut message.rights)
                };
            }
            if is_peek {
                index += 1;
            } else {
                message.taken += count;
                self.bytes -= count;
                if message.taken == message.data.len() {
                    self.messages.pop_front();
                }
            }
            if has_rights || to.remaining() == 0 {
                break;
            }
        }
        Ok((done, rights))
    }

    /// Takes everything out.
    pub fn take_all(&mut self) -> VecDeque<Message> {
        self.bytes = 0;
        core::mem::take(&mut self.messages)
    }
}

//! Orders in the database: reading them, and saving what was decided together with its event.

mod answering;
mod events;
mod fencing;
mod keeping;
mod reading;
mod row;
mod saving;

pub(crate) use answering::{FirstAnswer, first_answer, forget, remember};
pub(crate) use events::{EVENTS, NewEvent, event_of_row, history_entry, traceparents};
pub(crate) use fencing::fence;
pub(crate) use keeping::{NewOrder, keep};
pub(crate) use reading::{find, lock, readable, with_lines};
pub(crate) use row::{Stored, read};
pub(crate) use saving::{save, save_all};

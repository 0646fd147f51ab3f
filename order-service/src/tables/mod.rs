//! The tables, as rows. What they mean is said in [`crate::orders`].

#![expect(unreachable_pub, reason = "sea-orm's derives expect public types, in a module that isn't")]

pub mod change_answer;
pub mod line_item;
pub mod order;
pub mod order_event;
pub mod order_event_counter;

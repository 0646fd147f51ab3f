//! The systems that are measured: the four programs over RabbitMQ and PostgreSQL, and `waybill up`.

mod catalogue;
mod four_processes;
mod gateway;
mod one_process;
mod past_orders;
mod program;
mod token;

pub(crate) use catalogue::Catalogue;
pub(crate) use four_processes::FourProcesses;
pub(crate) use gateway::Gateway;
pub(crate) use one_process::OneProcess;
pub(crate) use past_orders::OrderRef;
pub(crate) use program::{own_program, program};

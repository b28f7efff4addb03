//! Pages for a municipality's public health nurses, under `/nurse`: 要ケア一覧, a case, what is done about it, and who is in charge.
//!
//! Each view reads the services' withdrawals, decides and records each row (`week::nurses`), records who looks, asks the services, and
//! is cut and taken off open screens by whatever ends what it rests on. A nurse sees her municipality and her districts; another's cases are
//! as if they were not there. What she writes is hers and stays when sharing stops; it never reaches the service.

mod act;
pub mod card;
mod case;
mod course;
mod list;
mod manage;
mod member;
mod print;
mod release;
mod watch;

pub use act::act;
pub use case::case;
pub use list::{list, search};
pub use manage::{assign, manage};
pub use member::Member;
pub use print::print;
pub use watch::{Watched, watch};

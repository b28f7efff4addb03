//! Every command at the operators' socket, with the role that it takes. What does not stand here is not there.
//!
//! `docs/access.md` shows it, and a test asks a running socket for each command in each role.

use http::Method;

use crate::config::Role;
use crate::routes::matched_all;

macro_rules! commands {
    ($($name:ident $method:literal $path:literal $role:expr;)*) => {
        /// A command: there is none that does not stand in [`COMMANDS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Which { $(#[doc = concat!("`", $method, " ", $path, "`")] $name,)* }

        /// Every command: method, path (`{id}` stands for one segment), and the role that it takes; none takes being an
        /// operator.
        pub const COMMANDS: &[(&str, &str, Option<Role>)] = &[$(($method, $path, $role),)*];

        /// The same, in the same order.
        pub const WHICH: &[Which] = &[$(Which::$name,)*];
    };
}

const ANYBODY: Option<Role> = None;
const OPERATOR: Option<Role> = Some(Role::Operator);
const OFFICIAL: Option<Role> = Some(Role::Official);
const AUDITOR: Option<Role> = Some(Role::Auditor);

commands! {
    Status "GET" "/status" ANYBODY;
    Checkpoint "POST" "/checkpoint" OPERATOR;
    Reload "POST" "/reload" OPERATOR;
    Backup "POST" "/backup" OPERATOR;
    Destroyed "GET" "/destroyed" OPERATOR;
    Explain "GET" "/decisions/{id}" AUDITOR;
    Releases "GET" "/releases" AUDITOR;
    Records "GET" "/people/{id}/records" AUDITOR;
    Authorities "GET" "/authorities" AUDITOR;
    AskAnew "GET" "/consents/ask-anew" AUDITOR;
    Enrol "POST" "/people" OFFICIAL;
    Erase "POST" "/people/{id}/erase" OFFICIAL;
    DestroyOld "POST" "/records/destroy-old" OFFICIAL;
    Link "POST" "/people/{id}/links" OFFICIAL;
    EndLink "POST" "/people/{id}/links/{id}/end" OFFICIAL;
    Authority "POST" "/people/{id}/authorities" OFFICIAL;
    EndAuthority "POST" "/people/{id}/authorities/{id}/end" OFFICIAL;
    Adoption "POST" "/people/{id}/special-adoption" OFFICIAL;
    Block "POST" "/people/{id}/blocks" OFFICIAL;
    EndBlock "POST" "/people/{id}/blocks/{id}/end" OFFICIAL;
    Basis "POST" "/people/{id}/bases" OFFICIAL;
    EndBasis "POST" "/people/{id}/bases/{id}/end" OFFICIAL;
    DiscloseBasis "POST" "/people/{id}/bases/{id}/disclose" OFFICIAL;
    BatchPlan "POST" "/batch/plan" AUDITOR;
    BatchRun "POST" "/batch/run" OPERATOR;
    BatchWrite "POST" "/batch/write" OFFICIAL;
    Suspend "POST" "/parties/{id}/suspend" OFFICIAL;
    Reinstate "POST" "/parties/{id}/reinstate" OFFICIAL;
    Import "POST" "/imports/consents" OFFICIAL;
}

/// Which command a request is for, the role that it takes, and what stands for each `{id}` in its path: the second one empty
/// where there is one.
pub(super) fn which<'a>(method: &Method, path: &'a str) -> Option<(Which, Option<Role>, [&'a str; 2])> {
    COMMANDS.iter().zip(WHICH).find_map(|((of, pattern, role), which)| {
        let ids = if *of == method.as_str() { matched_all(pattern, path) } else { None };
        ids.map(|ids| (*which, *role, ids))
    })
}

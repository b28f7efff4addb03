//! The operators' socket: the kernel says who comes, and only who is configured is heard.

use http::Method;
use sekisho::admin::client::{SocketError, ask};
use sekisho_tests::town::Town;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_a_configured_operator_is_turned_away() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let path = town.world.config.clone();
    let ours = std::fs::read_to_string(&path).unwrap();
    // Only root could come as another user; so another user is the operator, and we are nobody.
    let uid = rustix::process::getuid().as_raw();
    let anothers = ours.replace(&format!("uid = {uid}\n"), &format!("uid = {}\n", uid + 1));
    assert_ne!(ours, anothers);
    std::fs::write(&path, anothers).unwrap();
    let town = town.restart().await;
    let status = ask(&town.world.socket(), Method::GET, "/status", &Value::Null).await;
    assert!(matches!(status, Err(SocketError::Broken)), "{status:?}");
    let suspend = json!({"reason": "漏えいの疑い"});
    let act = town.world.act("/parties/yotsuba-phr/suspend", &suspend).await;
    assert!(matches!(act, Err(SocketError::Broken)), "{act:?}");
    assert!(town.items(&patient).await > 0, "the party is not suspended");
    std::fs::write(&path, ours).unwrap();
    let town = town.restart().await;
    town.act("/parties/yotsuba-phr/suspend", suspend).await;
    assert_eq!(town.items(&patient).await, 0);
    town.gateway.stop().await;
}

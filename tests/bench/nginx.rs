//! nginx as an enforcing TLS proxy: client certificates, `auth_request` to a no-op, keep-alive TLS to the upstream.
//!
//! Set up to be quick: one worker, no access log, connections kept to the upstream and to the no-op.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::child::{OTHER_CORE, PROXY_CORE, Process, find, free_port};
use crate::load::{Ask, Order};
use crate::rounds::{Plan, Proxy};
use crate::world::World;

/// About the length of the tokens that Sekisho gets.
const TOKEN_BYTES: usize = 700;

/// The version line, or why there is no nginx.
pub fn version() -> Result<String, Failure> {
    let nginx = find("nginx").ok_or(
        "nginx is not installed, so there is nothing to compare with: run scripts/install-test-tools as root, or \
         apt-get install nginx-light",
    )?;
    let said = Command::new(nginx).arg("-V").output()?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    for needed in ["--with-http_auth_request_module", "--with-http_ssl_module"] {
        if !text.contains(needed) {
            return Err(format!("this nginx was built without {needed}").into());
        }
    }
    Ok(text.lines().next().unwrap_or_default().replace("nginx version: ", ""))
}

/// Starts the no-op and nginx.
pub async fn start(world: &World, upstream: u16, plan: &Plan) -> Result<Proxy, Failure> {
    let mut no_op = Process::role("no-op", OTHER_CORE, &world.work, &["no-op"])?;
    let no_op_port = no_op.port().await?;
    let port = free_port()?;
    let prefix = world.work.join("nginx");
    std::fs::create_dir_all(&prefix)?;
    std::fs::write(prefix.join("nginx.conf"), configuration(&world.work, port, upstream, no_op_port))?;
    let program = find("nginx").ok_or("nginx is not installed")?;
    let folder = format!("{}/", prefix.display());
    let log = world.work.join("nginx.log");
    let arguments = ["-e", "stderr", "-p", &folder, "-c", "nginx.conf"];
    let mut process = Process::start("nginx", PROXY_CORE, &log, &program, &arguments)?;
    process.accepts(port, Duration::from_secs(10)).await?;
    let order = order(port, as_it_is(world), plan);
    Ok(Proxy { name: "nginx", process, asks: Some(no_op), order })
}

/// What is asked of a proxy that passes answers on as they are. It doesn't look at the token, but receives and passes over as
/// many bytes as Sekisho.
pub fn as_it_is(world: &World) -> Vec<Ask> {
    let token = "x".repeat(TOKEN_BYTES);
    let ask = |id: &String| Ask {
        target: format!("/fhir/Immunization?patient={id}"),
        child: id.clone(),
        pairwise: None,
        token: token.clone(),
    };
    world.children.iter().map(|child| ask(&child.person.id)).collect()
}

/// The load of a round.
pub fn order(port: u16, asks: Vec<Ask>, plan: &Plan) -> Order {
    Order { port, asks, warm_up_ms: plan.warm_up_ms(), measured_ms: plan.measured_ms() }
}

fn configuration(work: &Path, port: u16, upstream: u16, no_op: u16) -> String {
    let work = work.display();
    format!(
        r#"daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; multi_accept on; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    proxy_http_version 1.1;
    proxy_buffer_size 16k;
    proxy_buffers 8 16k;
    upstream records {{
        server 127.0.0.1:{upstream};
        keepalive 64;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    upstream decision {{
        server 127.0.0.1:{no_op};
        keepalive 64;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {work}/server.pem;
        ssl_certificate_key {work}/server.key;
        ssl_client_certificate {work}/ca.pem;
        ssl_verify_client on;
        ssl_protocols TLSv1.3;
        location /fhir/ {{
            auth_request /decide;
            proxy_pass https://records;
            proxy_set_header Host localhost;
            proxy_set_header Connection "";
            proxy_set_header Authorization "";
            proxy_ssl_protocols TLSv1.3;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {work}/ca.pem;
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_ssl_session_reuse on;
        }}
        location = /decide {{
            internal;
            proxy_pass http://decision;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_set_header X-Original-URI $request_uri;
        }}
    }}
}}
"#
    )
}

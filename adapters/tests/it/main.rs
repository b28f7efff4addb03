//! Tests of the adapters over real TLS on loopback.

#[cfg(test)]
mod consultation;
#[cfg(test)]
mod fhir_server;
#[cfg(test)]
mod http;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod issuer_clients;
#[cfg(test)]
mod issuer_lies;
#[cfg(test)]
mod issuer_sign_out;
#[cfg(test)]
mod my_portal;
#[cfg(test)]
mod people;
#[cfg(test)]
mod phr_app;
#[cfg(test)]
mod phr_app_properties;
#[cfg(test)]
mod support;

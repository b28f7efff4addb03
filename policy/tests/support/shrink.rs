//! Makes a failing case smaller: drops records and categories for as long as it still fails.

use sekisho_policy::*;

use super::World;

/// The smallest case reached from `world` for which `fails` still holds.
pub fn shrink(mut world: World, fails: impl Fn(&World) -> bool) -> World {
    loop {
        let Some(smaller) = smaller(&world).into_iter().find(|w| fails(w)) else { return world };
        world = smaller;
    }
}

fn smaller(world: &World) -> Vec<World> {
    let mut out = Vec::new();
    let r = &world.records;
    let counts = [r.consents.len(), r.refusals.len(), r.blocks.len(), r.authorities.len(), r.bases.len()];
    for (list, &count) in counts.iter().enumerate() {
        for place in 0..count {
            let mut w = world.clone();
            match list {
                0 => drop(w.records.consents.remove(place)),
                1 => drop(w.records.refusals.remove(place)),
                2 => drop(w.records.blocks.remove(place)),
                3 => drop(w.records.authorities.remove(place)),
                _ => drop(w.records.bases.remove(place)),
            }
            out.push(w);
        }
    }
    for left_out in world.request.categories.as_slice() {
        let rest = world.request.categories.as_slice().iter().copied().filter(|c| c != left_out);
        if let Some(categories) = Categories::new(rest) {
            let mut w = world.clone();
            w.request.categories = categories;
            out.push(w);
        }
    }
    out
}

// Plays `after`: a product is done when its rows are written.
import package::cluster::Lane;

fn after(lane: Lane) {}

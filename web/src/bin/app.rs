//! The page's entry in the browser.

fn main() {
    #[cfg(target_arch = "wasm32")]
    {
        console_error_panic_hook::set_once();
        plimsoll_web::app::mount();
    }
    #[cfg(not(target_arch = "wasm32"))]
    println!("The page runs in a browser: `cargo xtask serve` builds and serves it.");
}

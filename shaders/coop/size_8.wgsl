// Plays `coop`: cooperative matrices of 8 x 8, f16 summed in f32.
alias coop_a = coop_mat8x8<f16, A>;
alias coop_b = coop_mat8x8<f16, B>;
alias coop_c = coop_mat8x8<f32, C>;

const COOP: u32 = 8u;

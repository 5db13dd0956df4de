// Plays `coop`: cooperative matrices of 16 x 16, f16 summed in f32.
alias coop_a = coop_mat16x16<f16, A>;
alias coop_b = coop_mat16x16<f16, B>;
alias coop_c = coop_mat16x16<f32, C>;

const COOP: u32 = 16u;

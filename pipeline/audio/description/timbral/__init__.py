"""Timbral descriptors of AudioCommons: eight words that listeners use for a sound, as numbers.

Samples in; depth, brightness, roughness, warmth, sharpness, boominess, hardness and reverb out
(`descriptors`). Each descriptor is a file: measures of the sound, and a regression on listeners'
ratings. What several of them need is computed once (`sound`).

Pearce, Brookes and Mason, AudioCommons deliverables D5.6 and D5.8, University of Surrey 2018 and
2019. The regressions are those of the authors' package timbral_models 0.4.0 (Apache-2.0).
"""

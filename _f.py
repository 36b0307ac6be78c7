import time, warnings; warnings.filterwarnings("ignore")
import numpy as np
from pipeline.audio.description.features import FrameSpec, extract
from pipeline import LogMelSpec, log_mel
rng=np.random.default_rng(0); t=np.arange(441000)/44100
x=(sum(0.1*np.sin(2*np.pi*f*t*(1+0.001*np.sin(5*t))) for f in (220,330,440,554,660))+0.01*rng.standard_normal(441000)).astype(np.float32)
log_mel(x,LogMelSpec())
def cpu(f,n=3):
    best=9e9
    for _ in range(n):
        a=time.process_time(); f(); best=min(best,time.process_time()-a)
        if best>3: break
    return best
print("logmel", cpu(lambda: log_mel(x,LogMelSpec()),9))
for n in "mfcc zcr rms centroid bandwidth contrast rolloff flatness flux flux_l2 poly spectral_shape descriptors chroma_stft chroma_cqt chroma_cens tonnetz cqt tempogram mel_chroma_mfcc stft_multi attack loudness tonality tempo yin pyin pitch_roll nmf_components timbral scattering crepe".split():
    try:
        extract(n,x,FrameSpec()); print(n, round(cpu(lambda: extract(n,x,FrameSpec())),4), flush=True)
    except Exception as e: print(n,"ERR",repr(e)[:200],flush=True)
